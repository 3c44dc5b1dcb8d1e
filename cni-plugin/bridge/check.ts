// bridge CHECK: what an ADD reported against what is there now.

import type { Invocation } from '../protocol/plugin.ts';

export function checkBridgeAttachment(invocation: Invocation): void {
  invocation.note('check is not there yet');
}
