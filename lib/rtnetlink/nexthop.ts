// Next-hop objects, which many routes can share: struct nhmsg and NHA_ attributes (linux/nexthop.h; kernels from 5.3). With them the kernel
// adds N routes in linear time, without them in quadratic time.

import { type Family, formatIp, type Ip } from '../ip.ts';
import type { Netlink } from '../netlink/connection.ts';
import type { MessageReader } from '../netlink/reader.ts';
import type { NetlinkRequest } from '../netlink/request.ts';
import type { MessageWriter } from '../netlink/writer.ts';
import {
  AF_INET,
  AF_INET6,
  RTM_DELNEXTHOP,
  RTM_GETNEXTHOP,
  RTM_NEWNEXTHOP,
  RTNH_F_ONLINK,
  RTPROT_BOOT,
} from './rtnetlink-constants.ts';
import { type RequestKind, SpecRequest } from './spec-request.ts';
import { familyOf, type Mutable, spellDev, words } from './spelling.ts';

export interface Nexthop {
  readonly id: number;
  /** Absent on groups and FDB next hops. */
  readonly family?: Family;
  readonly gateway?: Ip;
  readonly oif?: number;
  /** RTPROT_ of the program that made it. */
  readonly protocol: number;
  /** RTNH_F_ */
  readonly flags: number;
  readonly blackhole?: boolean;
  /** Whether it is a group of other next hops; Weft makes none. */
  readonly group?: boolean;
}

export interface NexthopSpec {
  /** Above 0, because for 0 the kernel would choose. */
  readonly id: number;
  readonly gateway?: Ip;
  readonly oif?: number;
  /** Needed without a gateway; 4 when absent. */
  readonly family?: Family;
  /** RTPROT_BOOT when absent. */
  readonly protocol?: number;
  readonly flags?: number;
  readonly blackhole?: boolean;
}

const NHA_ID = 1;
const NHA_GROUP = 2;
const NHA_BLACKHOLE = 4;
const NHA_OIF = 5;
const NHA_GATEWAY = 6;

/** struct nhmsg: u8 family, u8 scope, u8 protocol, u8 reserved, u32 flags. */
const NHMSG = 8;

export function writeNexthop(writer: MessageWriter, nexthop: NexthopSpec): void {
  const { gateway, oif } = nexthop;
  writer.u8((gateway?.family ?? nexthop.family ?? 4) === 4 ? AF_INET : AF_INET6);
  writer.u8(0);
  writer.u8(nexthop.protocol ?? RTPROT_BOOT);
  writer.u8(0);
  writer.u32(nexthop.flags ?? 0);
  writer.attrU32(NHA_ID, nexthop.id);
  if (nexthop.blackhole === true) writer.flag(NHA_BLACKHOLE);
  if (gateway !== undefined) writer.attrIp(NHA_GATEWAY, gateway);
  if (oif !== undefined) writer.attrU32(NHA_OIF, oif);
}

/** EEXIST when the id is taken. Same as: `ip nexthop add id ID via IP dev DEV onlink`. */
export function addNexthop(nexthop: NexthopSpec, dev?: string): NetlinkRequest {
  return new SpecRequest(NEXTHOP, 'add', nexthop, dev);
}

/** Routes that use it change at once. Same as: `ip nexthop replace id ID via IP dev DEV onlink`. */
export function replaceNexthop(nexthop: NexthopSpec, dev?: string): NetlinkRequest {
  return new SpecRequest(NEXTHOP, 'replace', nexthop, dev);
}

/** Deletes the nexthop and every route that uses it. Fails with ENOENT when there is none. Same as: `ip nexthop del id ID`. */
export function deleteNexthop(id: number): NetlinkRequest {
  return {
    type: RTM_DELNEXTHOP,
    flags: 0,
    write(writer) {
      writer.u32(0);
      writer.u32(0);
      writer.attrU32(NHA_ID, id);
    },
    describe: () => `delete nexthop id ${id}`,
    command: () => `ip nexthop del id ${id}`,
  };
}

const NEXTHOP: RequestKind<NexthopSpec> = {
  newType: RTM_NEWNEXTHOP,
  deleteType: RTM_DELNEXTHOP,
  write: writeNexthop,
  spell: (nexthop, _, dev) => `nexthop ${spellNexthop(nexthop, dev)}`,
  command: (nexthop, _, dev, toolVerb) =>
    words(
      'ip nexthop',
      toolVerb,
      spellNexthop(nexthop, dev),
      nexthop.protocol === undefined ? '' : `proto ${nexthop.protocol}`,
    ),
};

function spellNexthop(nexthop: NexthopSpec, dev: string | undefined): string {
  const { gateway, oif } = nexthop;
  return words(
    `id ${nexthop.id}`,
    nexthop.blackhole === true ? 'blackhole' : '',
    gateway === undefined ? '' : `via ${formatIp(gateway)}`,
    oif === undefined ? '' : spellDev(oif, dev),
    ((nexthop.flags ?? 0) & RTNH_F_ONLINK) !== 0 ? 'onlink' : '',
  );
}

export interface NexthopFilter {
  readonly oif?: number;
}

/** Throws EOPNOTSUPP or EINVAL before 5.3. Same as: `ip nexthop show [dev DEV]`, without those for which `omit` is true. */
export function listNexthops(
  netlink: Netlink,
  filter: NexthopFilter = {},
  omit?: (nexthop: Nexthop) => boolean,
): Nexthop[] {
  const { oif } = filter;
  const request: NetlinkRequest = {
    type: RTM_GETNEXTHOP,
    flags: 0,
    write(writer) {
      writer.u32(0);
      writer.u32(0);
      if (oif !== undefined) writer.attrU32(NHA_OIF, oif);
    },
    describe: () => words('list nexthops', spellDev(oif, undefined)),
  };
  return netlink.dump(request, (message) => {
    const nexthop = decodeNexthop(message);
    if (oif !== undefined && nexthop.oif !== oif) return undefined;
    return omit?.(nexthop) === true ? undefined : nexthop;
  });
}

/** Decodes RTM_NEWNEXTHOP and RTM_DELNEXTHOP. Throws MalformedReply. */
export function decodeNexthop(message: MessageReader): Nexthop {
  const at = message.struct(NHMSG);
  const { view } = message;
  const nexthop: Mutable<Nexthop> = {
    id: 0,
    protocol: view.getUint8(at + 2),
    flags: view.getUint32(at + 4, true),
  };
  const family = familyOf(view.getUint8(at));
  if (family !== undefined) nexthop.family = family;
  const attributes = message.attributes(NHMSG);
  while (attributes.next()) {
    if (attributes.type === NHA_ID) nexthop.id = attributes.u32();
    else if (attributes.type === NHA_OIF) nexthop.oif = attributes.u32();
    else if (attributes.type === NHA_GATEWAY) nexthop.gateway = attributes.ip();
    else if (attributes.type === NHA_BLACKHOLE) nexthop.blackhole = true;
    else if (attributes.type === NHA_GROUP) nexthop.group = true;
  }
  return nexthop;
}
