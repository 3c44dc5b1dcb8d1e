// Whether this kernel can make a kind of device, by trying it in a network namespace of its own.

import { spawnSync } from 'node:child_process';

/** True when the device can be made. The kernel loads the kind's module if there is one. */
export function hasLinkKind(kind: string, ...args: readonly string[]): boolean {
  return spawnSync('unshare', ['--net', 'ip', 'link', 'add', 'try0', 'type', kind, ...args]).status === 0;
}
