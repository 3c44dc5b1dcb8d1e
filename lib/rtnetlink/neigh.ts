// Neighbour entries, from an IP to a MAC on one device: struct ndmsg and NDA_ attributes (linux/neighbour.h).

import { type Family, formatIp, type Ip } from '../ip.ts';
import type { Mac } from '../mac.ts';
import type { Netlink } from '../netlink/connection.ts';
import type { MessageReader } from '../netlink/reader.ts';
import type { NetlinkRequest } from '../netlink/request.ts';
import type { MessageWriter } from '../netlink/writer.ts';
import {
  NDA_DST,
  NDA_IFINDEX,
  NDA_LLADDR,
  NUD_NOARP,
  NUD_PERMANENT,
  RTM_DELNEIGH,
  RTM_GETNEIGH,
  RTM_NEWNEIGH,
  RTN_UNICAST,
} from './rtnetlink-constants.ts';
import { type RequestKind, SpecRequest } from './spec-request.ts';
import { addressFamily, familyOf, type Mutable, spellDev, words } from './spelling.ts';

export interface Neigh {
  readonly family: Family;
  readonly index: number;
  readonly destination: Ip;
  /** Absent while not resolved. */
  readonly mac?: Mac;
  /** NUD_ */
  readonly state: number;
  /** NTF_ */
  readonly flags: number;
}

export interface NeighSpec {
  readonly index: number;
  readonly destination: Ip;
  readonly mac?: Mac;
  /** NUD_PERMANENT when absent. */
  readonly state?: number;
  readonly flags?: number;
}

/** struct ndmsg: u8 family, u8 pad, u16 pad, s32 index, u16 state, u8 flags, u8 type. */
export const NDMSG = 12;

/** Writes struct ndmsg; the type is the one that flannel and the kernel itself use. */
export function writeNdmsg(writer: MessageWriter, family: number, index: number, state: number, flags: number): void {
  writer.u32(family);
  writer.u32(index);
  writer.u16(state);
  writer.u8(flags);
  writer.u8(RTN_UNICAST);
}

export function writeNeigh(writer: MessageWriter, neigh: NeighSpec): void {
  const family = addressFamily(neigh.destination.family);
  writeNdmsg(writer, family, neigh.index, neigh.state ?? NUD_PERMANENT, neigh.flags ?? 0);
  writer.attrIp(NDA_DST, neigh.destination);
  if (neigh.mac !== undefined) writer.attrMac(NDA_LLADDR, neigh.mac);
}

/** EEXIST when the address has an entry. Same as: `ip neigh add IP lladdr MAC dev DEV nud permanent`. */
export function addNeigh(neigh: NeighSpec, dev?: string): NetlinkRequest {
  return new SpecRequest(NEIGH, 'add', neigh, dev);
}

/** Same as: `ip neigh replace IP lladdr MAC dev DEV nud permanent`. */
export function replaceNeigh(neigh: NeighSpec, dev?: string): NetlinkRequest {
  return new SpecRequest(NEIGH, 'replace', neigh, dev);
}

/** ENOENT when there is none. Same as: `ip neigh del IP dev DEV`. */
export function deleteNeigh(neigh: NeighSpec, dev?: string): NetlinkRequest {
  return new SpecRequest(NEIGH, 'delete', neigh, dev);
}

const NEIGH: RequestKind<NeighSpec> = {
  newType: RTM_NEWNEIGH,
  deleteType: RTM_DELNEIGH,
  write: writeNeigh,
  spell: (neigh, _, dev) => words('neigh', formatIp(neigh.destination), spellLladdr(neigh), spellDev(neigh.index, dev)),
  command(neigh, verb, dev, toolVerb) {
    const rest = verb === 'delete' ? '' : spellState(neigh.state ?? NUD_PERMANENT);
    const lladdr = verb === 'delete' ? '' : spellLladdr(neigh);
    return words('ip neigh', toolVerb, formatIp(neigh.destination), lladdr, spellDev(neigh.index, dev), rest);
  },
};

function spellLladdr(neigh: NeighSpec): string {
  return neigh.mac === undefined ? '' : `lladdr ${neigh.mac}`;
}

function spellState(state: number): string {
  if (state === NUD_PERMANENT) return 'nud permanent';
  return state === NUD_NOARP ? 'nud noarp' : `nud 0x${state.toString(16)}`;
}

export interface NeighFilter {
  readonly index?: number;
  readonly family?: Family;
}

/** Same as: `ip neigh show [dev DEV] nud all`, without those for which `omit` is true. */
export function listNeighs(netlink: Netlink, filter: NeighFilter = {}, omit?: (neigh: Neigh) => boolean): Neigh[] {
  const { index, family } = filter;
  const request: NetlinkRequest = {
    type: RTM_GETNEIGH,
    flags: 0,
    write(writer) {
      // Strict checking requires every other field of the header to be 0.
      writer.u32(family === undefined ? 0 : addressFamily(family));
      writer.u32(0);
      writer.u32(0);
      if (index !== undefined) writer.attrU32(NDA_IFINDEX, index);
    },
    describe: () => words('list neighs', spellDev(index, undefined)),
  };
  return netlink.dump(request, (message) => {
    if (index !== undefined && message.view.getInt32(message.struct(NDMSG) + 4, true) !== index) return undefined;
    const neigh = decodeNeigh(message);
    if (neigh === undefined || (family !== undefined && neigh.family !== family)) return undefined;
    return omit?.(neigh) === true ? undefined : neigh;
  });
}

/** Decodes RTM_NEWNEIGH and RTM_DELNEIGH; undefined for FDB entries. Throws MalformedReply. */
export function decodeNeigh(message: MessageReader): Neigh | undefined {
  const at = message.struct(NDMSG);
  const { view } = message;
  const family = familyOf(view.getUint8(at));
  if (family === undefined) return undefined;
  const neigh: Mutable<Neigh> = {
    family,
    index: view.getInt32(at + 4, true),
    destination: NOWHERE,
    state: view.getUint16(at + 8, true),
    flags: view.getUint8(at + 10),
  };
  const attributes = message.attributes(NDMSG);
  while (attributes.next()) {
    if (attributes.type === NDA_DST) neigh.destination = attributes.ip();
    else if (attributes.type === NDA_LLADDR) {
      const mac = attributes.mac();
      if (mac !== undefined) neigh.mac = mac;
    }
  }
  return neigh.destination === NOWHERE ? undefined : neigh;
}

/** A placeholder until the address has been read. */
const NOWHERE: Ip = { family: 4, value: 0n };
