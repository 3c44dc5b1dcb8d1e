// What the tests with packets need.

import type { Clock } from '../../../lib/clock-node.ts';
import type { Netlink } from '../../../lib/netlink/connection.ts';
import type { Syscalls } from '../../../lib/sys/syscalls.ts';
import type { Nft } from '../../firewall/nft-program.ts';
import type { Logger } from '../../health/log.ts';

export interface TryTools {
  readonly sys: Syscalls;
  readonly netlink: Netlink;
  readonly nft: Nft;
  readonly log: Logger;
  readonly clock: Clock;
}
