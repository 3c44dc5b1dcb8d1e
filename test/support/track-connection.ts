// Adds a connection to the kernel's table as if its packets had been seen (linux/netfilter/nfnetlink_conntrack.h). Same as: `conntrack -I`.

import type { Family } from '../../lib/ip.ts';
import { type Tuple, writeTuple } from '../../lib/netfilter/conntrack.ts';
import { openNetfilter } from '../../lib/netfilter/netfilter-socket.ts';
import {
  CTA_TUPLE_ORIG,
  CTA_TUPLE_REPLY,
  NFPROTO_IPV4,
  NFPROTO_IPV6,
} from '../../lib/netfilter/nf-tables-constants.ts';
import { NLA_F_NESTED, NLM_F_CREATE } from '../../lib/netlink/constants.ts';
import type { Syscalls } from '../../lib/sys/syscalls.ts';

const IPCTNL_MSG_CT_NEW = 0x0100;
const CTA_TIMEOUT = 7;
const CTA_STATUS = 3;
const CTA_PROTOINFO = 4;
const CTA_PROTOINFO_TCP = 1;
const CTA_PROTOINFO_TCP_STATE = 1;
const TCP_CONNTRACK_ESTABLISHED = 3;
const IPPROTO_TCP = 6;
/** Flags: packets were seen in both directions, and the connection is assured. */
const STATUS = 0x0e;

export interface TrackedConnection {
  readonly family: Family;
  readonly original: Tuple;
  readonly reply: Tuple;
}

/** Tracks it in the current network namespace, for ten minutes. */
export function trackConnection(sys: Syscalls, { family, original, reply }: TrackedConnection): void {
  const netfilter = openNetfilter(sys);
  try {
    netfilter.netlink.run({
      type: IPCTNL_MSG_CT_NEW,
      flags: NLM_F_CREATE,
      write(writer) {
        writer.u32(family === 4 ? NFPROTO_IPV4 : NFPROTO_IPV6);
        writer.nest(CTA_TUPLE_ORIG | NLA_F_NESTED, () => writeTuple(writer, family, original));
        writer.nest(CTA_TUPLE_REPLY | NLA_F_NESTED, () => writeTuple(writer, family, reply));
        writer.attrBytes(CTA_STATUS, Uint8Array.of(0, 0, 0, STATUS));
        writer.attrBytes(CTA_TIMEOUT, Uint8Array.of(0, 0, 0x02, 0x58));
        if (original.protocol !== IPPROTO_TCP) return;
        writer.nest(CTA_PROTOINFO | NLA_F_NESTED, () =>
          writer.nest(CTA_PROTOINFO_TCP | NLA_F_NESTED, () =>
            writer.attrU8(CTA_PROTOINFO_TCP_STATE, TCP_CONNTRACK_ESTABLISHED),
          ),
        );
      },
      describe: () => 'add connection',
    });
  } finally {
    netfilter.close();
  }
}
