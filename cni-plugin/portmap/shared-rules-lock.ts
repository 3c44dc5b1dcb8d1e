// The lock under which the rules that all mappings share are made. Neither nft nor iptables-restore has a statement that adds a rule unless
// it exists, so a call reads which are missing and adds those; two calls at the same time would add them twice.

import { withLock } from '../../lib/sys/file.ts';
import { SysError } from '../../lib/sys/sys-error.ts';
import type { Invocation } from '../protocol/plugin.ts';

const LOCK = '/run/weft-portmap.lock';

/** Runs `body` under the lock, or without it where it cannot be taken: rules that exist twice do no harm. */
export function withSharedRulesLock(invocation: Invocation, body: () => void): void {
  let begun = false;
  try {
    withLock(invocation.sys, LOCK, 0o600, () => {
      begun = true;
      body();
    });
  } catch (thrown) {
    if (begun || !(thrown instanceof SysError)) throw thrown;
    body();
  }
}
