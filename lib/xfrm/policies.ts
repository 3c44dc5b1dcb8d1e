// Counts the policies of IPsec (linux/xfrm.h; ip-xfrm(8)), which may encrypt or drop what is forwarded.

import { netlinkOver } from '../netlink/connection.ts';
import { NETLINK_XFRM } from '../netlink/constants.ts';
import { openNetlinkSocket } from '../netlink/netlink-socket.ts';
import { SysError } from '../sys/sys-error.ts';
import type { Syscalls } from '../sys/syscalls.ts';

const XFRM_MSG_GETPOLICY = 0x15;
/** struct xfrm_userpolicy_id: a selector of 56 bytes, u32 index, u8 dir. */
const USERPOLICY_ID_WORDS = 16;

/** The policies of the current network namespace; 0 in a kernel without IPsec. Same as: `ip xfrm policy`. Throws SysError, NetlinkError. */
export function countXfrmPolicies(sys: Syscalls): number {
  const netlink = openXfrm(sys);
  if (netlink === undefined) return 0;
  try {
    const policies = netlink.dump(
      {
        type: XFRM_MSG_GETPOLICY,
        flags: 0,
        write(writer) {
          for (let word = 0; word < USERPOLICY_ID_WORDS; word++) writer.u32(0);
        },
        describe: () => 'list policies',
      },
      () => true,
    );
    return policies.length;
  } finally {
    netlink.close();
  }
}

function openXfrm(sys: Syscalls) {
  try {
    return netlinkOver(openNetlinkSocket(sys, NETLINK_XFRM), 'xfrm');
  } catch (error) {
    // A kernel without IPsec does not have this netlink protocol.
    if (error instanceof SysError && error.errno === EPROTONOSUPPORT) return undefined;
    throw error;
  }
}
const EPROTONOSUPPORT = 93;
