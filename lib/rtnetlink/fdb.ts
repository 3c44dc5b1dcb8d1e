// Forwarding database entries, from a MAC to an underlay address on a VXLAN device or to a port of a bridge: neighbour messages of family
// AF_BRIDGE (linux/neighbour.h; drivers/net/vxlan vxlan_fdb_parse).

import { formatIp, type Ip } from '../ip.ts';
import type { Mac } from '../mac.ts';
import type { Netlink } from '../netlink/connection.ts';
import type { AttributeReader, MessageReader } from '../netlink/reader.ts';
import type { NetlinkRequest } from '../netlink/request.ts';
import type { MessageWriter } from '../netlink/writer.ts';
import { NDMSG, writeNdmsg } from './neigh.ts';
import {
  AF_BRIDGE,
  NDA_CACHEINFO,
  NDA_DST,
  NDA_LLADDR,
  NDA_MASTER,
  NDA_NH_ID,
  NDA_PORT,
  NDA_VLAN,
  NDA_VNI,
  NTF_MASTER,
  NTF_SELF,
  NUD_NOARP,
  NUD_PERMANENT,
  RTM_DELNEIGH,
  RTM_GETNEIGH,
  RTM_NEWNEIGH,
} from './rtnetlink-constants.ts';
import { type RequestKind, SpecRequest } from './spec-request.ts';
import { type Mutable, spellDev, words } from './spelling.ts';

export interface FdbEntry {
  /** The VXLAN device, or the bridge's port. */
  readonly index: number;
  readonly mac: Mac;
  /** The underlay address. A MAC with several addresses has one entry for each. Absent on bridges. */
  readonly destination?: Ip;
  /** NUD_PERMANENT, NUD_NOARP (static), NUD_REACHABLE (learned) … */
  readonly state: number;
  /** NTF_SELF: the device's own table; NTF_MASTER: its bridge's. */
  readonly flags: number;
  readonly vlan?: number;
  /** The UDP port, if it differs from the device's. */
  readonly port?: number;
  /** The VNI, if it differs from the device's. */
  readonly vni?: number;
  readonly master?: number;
  readonly nexthopId?: number;
}

export interface FdbSpec {
  readonly index: number;
  readonly mac: Mac;
  readonly destination?: Ip;
  /** NUD_PERMANENT when absent. */
  readonly state?: number;
  /** NTF_SELF when absent. */
  readonly flags?: number;
  readonly vlan?: number;
  readonly port?: number;
  readonly vni?: number;
}

export function writeFdb(writer: MessageWriter, entry: FdbSpec): void {
  writeNdmsg(writer, AF_BRIDGE, entry.index, entry.state ?? NUD_PERMANENT, entry.flags ?? NTF_SELF);
  if (entry.destination !== undefined) writer.attrIp(NDA_DST, entry.destination);
  writer.attrMac(NDA_LLADDR, entry.mac);
  if (entry.vlan !== undefined) writer.attrU16(NDA_VLAN, entry.vlan);
  if (entry.port !== undefined) writer.attrU16be(NDA_PORT, entry.port);
  if (entry.vni !== undefined) writer.attrU32(NDA_VNI, entry.vni);
}

/** EEXIST when the MAC has an entry. Same as: `bridge fdb add MAC dev DEV dst IP self permanent`. */
export function addFdb(entry: FdbSpec, dev?: string): NetlinkRequest {
  return new SpecRequest(FDB, 'add', entry, dev);
}

/** Adds one more destination to a MAC. Same as: `bridge fdb append MAC dev DEV dst IP self permanent`. */
export function appendFdb(entry: FdbSpec, dev?: string): NetlinkRequest {
  return new SpecRequest(FDB, 'append', entry, dev);
}

/** Same as: `bridge fdb replace MAC dev DEV dst IP self permanent`. */
export function replaceFdb(entry: FdbSpec, dev?: string): NetlinkRequest {
  return new SpecRequest(FDB, 'replace', entry, dev);
}

/**
 * Fails with ENOENT when there is none. Without a destination, all entries of the MAC are deleted. Same as: `bridge fdb del MAC dev
 * DEV`.
 */
export function deleteFdb(entry: FdbSpec, dev?: string): NetlinkRequest {
  return new SpecRequest(FDB, 'delete', entry, dev);
}

const FDB: RequestKind<FdbSpec> = {
  newType: RTM_NEWNEIGH,
  deleteType: RTM_DELNEIGH,
  write: writeFdb,
  spell: (entry, _, dev) => words('fdb', entry.mac, spellDestination(entry), spellDev(entry.index, dev)),
  command: (entry, verb, dev, toolVerb) =>
    words(
      'bridge fdb',
      toolVerb,
      entry.mac,
      spellDev(entry.index, dev),
      spellDestination(entry),
      entry.vlan === undefined ? '' : `vlan ${entry.vlan}`,
      entry.port === undefined ? '' : `port ${entry.port}`,
      entry.vni === undefined ? '' : `vni ${entry.vni}`,
      spellTable(entry.flags ?? NTF_SELF),
      verb === 'delete' ? '' : spellState(entry.state ?? NUD_PERMANENT),
    ),
};

function spellDestination(entry: FdbSpec): string {
  return entry.destination === undefined ? '' : `dst ${formatIp(entry.destination)}`;
}

function spellTable(flags: number): string {
  return words((flags & NTF_SELF) !== 0 ? 'self' : '', (flags & NTF_MASTER) !== 0 ? 'master' : '');
}

function spellState(state: number): string {
  if ((state & NUD_PERMANENT) !== 0) return 'permanent';
  return (state & NUD_NOARP) !== 0 ? 'static' : 'dynamic';
}

export interface FdbFilter {
  /** The device whose entries are listed. */
  readonly index: number;
}

/** Same as: `bridge fdb show dev DEV`, without those for which `omit` is true. */
export function listFdb(netlink: Netlink, { index }: FdbFilter, omit?: (entry: FdbEntry) => boolean): FdbEntry[] {
  const request: NetlinkRequest = {
    type: RTM_GETNEIGH,
    flags: 0,
    write(writer) {
      writer.u32(AF_BRIDGE);
      writer.u32(index);
      writer.u32(0);
    },
    describe: () => words('list fdb', spellDev(index, undefined)),
  };
  return netlink.dump(request, (message) => {
    const entry = decodeFdb(message);
    return entry?.index === index && omit?.(entry) !== true ? entry : undefined;
  });
}

/** Decodes RTM_NEWNEIGH and RTM_DELNEIGH of family AF_BRIDGE; undefined for others. Throws MalformedReply. */
export function decodeFdb(message: MessageReader): FdbEntry | undefined {
  const at = message.struct(NDMSG);
  const { view } = message;
  if (view.getUint8(at) !== AF_BRIDGE) return undefined;
  const entry: Mutable<FdbEntry> = {
    index: view.getInt32(at + 4, true),
    mac: NO_MAC,
    state: view.getUint16(at + 8, true),
    flags: view.getUint8(at + 10),
  };
  const attributes = message.attributes(NDMSG);
  while (attributes.next()) decodeFdbAttribute(attributes, entry);
  return entry.mac === NO_MAC ? undefined : entry;
}

/**
 * Up to Linux 6.12 the kernel sends two events for each change: the first from the driver, with all attributes, and the second from
 * rtnetlink's core, which knows the MAC but no destination. Only the driver's event has the age of the entry.
 */
export function isToldAgain(message: MessageReader): boolean {
  const attributes = message.attributes(NDMSG);
  while (attributes.next()) if (attributes.type === NDA_CACHEINFO) return false;
  return true;
}

const NO_MAC = '' as Mac;

function decodeFdbAttribute(attribute: AttributeReader, entry: Mutable<FdbEntry>): void {
  const { type } = attribute;
  if (type === NDA_LLADDR) entry.mac = attribute.mac() ?? NO_MAC;
  else if (type === NDA_DST) entry.destination = attribute.ip();
  else if (type === NDA_VLAN) entry.vlan = attribute.u16();
  else if (type === NDA_PORT) entry.port = attribute.u16be();
  else if (type === NDA_VNI) entry.vni = attribute.u32();
  else if (type === NDA_MASTER) entry.master = attribute.u32();
  else if (type === NDA_NH_ID) entry.nexthopId = attribute.u32();
}
