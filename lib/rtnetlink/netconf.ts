// Reads whether the kernel forwards, for the whole namespace and for each device: struct netconfmsg and NETCONFA_ attributes
// (linux/netconf.h). The kernel sends an event about every change, which it does not do for /proc/sys.

import type { Family } from '../ip.ts';
import type { Netlink } from '../netlink/connection.ts';
import type { MessageReader } from '../netlink/reader.ts';
import type { NetlinkRequest } from '../netlink/request.ts';
import { EINVAL, ENODEV } from '../sys/errno.ts';
import { RTM_GETNETCONF } from './rtnetlink-constants.ts';
import { addressFamily, familyOf, type Mutable } from './spelling.ts';

const NETCONFA_IFINDEX = 1;
const NETCONFA_FORWARDING = 2;
/** The index that stands for `net.ipv4.conf.all`, which is `net.ipv4.ip_forward`. */
export const NETCONFA_IFINDEX_ALL = -1;
/** struct netconfmsg: u8 family. */
const NETCONFMSG = 1;
/** The struct with the padding in front of the first attribute. */
const PADDED = 4;

/** The settings of one device, or of all. */
export interface Netconf {
  readonly family: Family;
  /** The device's index; NETCONFA_IFINDEX_ALL, or −2 for future devices. */
  readonly index: number;
  /** Absent in an event about another setting. */
  readonly forwarding?: boolean;
}

/**
 * Whether packets of a family that arrive by a device are forwarded; without an index, the value of `all`. Undefined when there is no such
 * device, or it does not use the family. Same as: `ip netconf show dev DEV`.
 */
export function isForwarding(netlink: Netlink, family: Family, index?: number): boolean | undefined {
  const request: NetlinkRequest = {
    type: RTM_GETNETCONF,
    flags: 0,
    write(writer) {
      writer.u32(addressFamily(family));
      writer.attrU32(NETCONFA_IFINDEX, (index ?? NETCONFA_IFINDEX_ALL) >>> 0);
    },
    describe: () => `get IPv${family} configuration of ${index === undefined ? 'all devices' : `if${index}`}`,
  };
  return netlink.get(request, decodeNetconf, [EINVAL, ENODEV])?.forwarding;
}

/** Decodes RTM_NEWNETCONF and RTM_DELNETCONF; undefined for other families. Throws MalformedReply. */
export function decodeNetconf(message: MessageReader): Netconf | undefined {
  const family = familyOf(message.bytes[message.struct(NETCONFMSG)] ?? 0);
  if (family === undefined) return undefined;
  const conf: Mutable<Netconf> = { family, index: 0 };
  const attributes = message.attributes(PADDED);
  while (attributes.next()) {
    if (attributes.type === NETCONFA_IFINDEX) conf.index = attributes.i32();
    else if (attributes.type === NETCONFA_FORWARDING) conf.forwarding = attributes.i32() !== 0;
  }
  return conf;
}
