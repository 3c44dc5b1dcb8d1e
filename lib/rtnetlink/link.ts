// Network devices: struct ifinfomsg and its IFLA_ attributes (rtnetlink(7), linux/if_link.h). Kinds with attributes of their own are in
// bridge.ts, veth.ts and vxlan.ts.

import type { Mac } from '../mac.ts';
import type { Netlink } from '../netlink/connection.ts';
import { NLM_F_CREATE, NLM_F_EXCL } from '../netlink/constants.ts';
import type { AttributeReader, MessageReader } from '../netlink/reader.ts';
import type { NetlinkRequest } from '../netlink/request.ts';
import type { MessageWriter } from '../netlink/writer.ts';
import { ENODEV } from '../sys/errno.ts';
import { type BridgePort, decodeBridgePort } from './bridge-port.ts';
import { decodeIpip, type IpipAttributes } from './ipip-attributes.ts';
import {
  AF_UNSPEC,
  IFF_PROMISC,
  IFF_UP,
  IFLA_ADDRESS,
  IFLA_BR_VLAN_FILTERING,
  IFLA_EXT_MASK,
  IFLA_IFNAME,
  IFLA_INFO_DATA,
  IFLA_INFO_KIND,
  IFLA_INFO_SLAVE_DATA,
  IFLA_INFO_SLAVE_KIND,
  IFLA_LINK,
  IFLA_LINKINFO,
  IFLA_MASTER,
  IFLA_MTU,
  IFLA_NET_NS_FD,
  IFLA_OPERSTATE,
  IFLA_TXQLEN,
  RTEXT_FILTER_SKIP_STATS,
  RTM_DELLINK,
  RTM_GETLINK,
  RTM_NEWLINK,
} from './rtnetlink-constants.ts';
import { type Mutable, words } from './spelling.ts';
import { decodeVxlan, type VxlanAttributes } from './vxlan-attributes.ts';

export interface Link {
  readonly index: number;
  readonly name: string;
  /** `bridge`, `veth`, `vxlan`, `dummy` …; absent for hardware and loopback. */
  readonly kind?: string;
  /** IFF_ flags. */
  readonly flags: number;
  readonly mtu: number;
  /** Absent where link-layer addresses are not Ethernet's. */
  readonly mac?: Mac;
  /** Index of the bridge or bond it belongs to. */
  readonly master?: number;
  /** RFC 2863 state: IF_OPER_UP … */
  readonly operState: number;
  /** IFLA_LINK: the device underneath, or a veth's peer, possibly in another namespace. */
  readonly lowerIndex?: number;
  readonly vxlan?: VxlanAttributes;
  readonly ipip?: IpipAttributes;
  /** Set when it is a bridge that distinguishes VLANs. */
  readonly vlanFiltering?: true;
  /** Its port attributes when its master is a bridge. */
  readonly port?: BridgePort;
}

/** The attributes with which any kind of device can be created. */
export interface LinkAttributes {
  readonly mac?: Mac;
  readonly mtu?: number;
  readonly txQueueLength?: number;
  /** Index of the bridge or bond that it becomes a port of. */
  readonly master?: number;
  /** That device's name, which is used only in messages. */
  readonly masterName?: string;
  readonly up?: boolean;
}

export interface LinkSpec extends LinkAttributes {
  readonly name: string;
}

/** Which device: by index, or by name where the index is not known yet. */
export interface LinkRef {
  readonly index?: number;
  readonly name?: string;
}

export interface LinkChange extends LinkRef, LinkAttributes {
  readonly promisc?: boolean;
  /** File descriptor of the network namespace to move it to. */
  readonly netnsFd?: number;
}

/** struct ifinfomsg: u8 family, u8 pad, u16 type, s32 index, u32 flags, u32 change. */
const IFINFOMSG = 16;

/** Writes struct ifinfomsg; only flags in `change` are touched. */
export function writeIfinfomsg(writer: MessageWriter, index: number, flags: number, change: number): void {
  writer.u32(AF_UNSPEC);
  writer.u32(index);
  writer.u32(flags);
  writer.u32(change);
}

/** Writes name, MAC, MTU, queue length and master, in this order; the kernel chooses what is absent. */
export function writeLinkAttributes(writer: MessageWriter, name: string | undefined, link: LinkAttributes): void {
  if (name !== undefined) writer.attrText(IFLA_IFNAME, name);
  if (link.mac !== undefined) writer.attrMac(IFLA_ADDRESS, link.mac);
  if (link.mtu !== undefined) writer.attrU32(IFLA_MTU, link.mtu);
  if (link.txQueueLength !== undefined) writer.attrU32(IFLA_TXQLEN, link.txQueueLength);
  if (link.master !== undefined) writer.attrU32(IFLA_MASTER, link.master);
}

/**
 * Creates a device of any kind; EEXIST when the name is taken. `data` writes IFLA_INFO_DATA, `spelled` is ip's syntax after `type KIND`.
 * Same as: `ip link add NAME … type KIND …`.
 */
export function addLink(
  spec: LinkSpec,
  kind: string,
  data?: (writer: MessageWriter) => void,
  spelled = '',
): NetlinkRequest {
  const up = spec.up === true ? IFF_UP : 0;
  return {
    type: RTM_NEWLINK,
    flags: NLM_F_CREATE | NLM_F_EXCL,
    write(writer) {
      writeIfinfomsg(writer, 0, up, up);
      writeLinkAttributes(writer, spec.name, spec);
      writer.nest(IFLA_LINKINFO, () => {
        writer.attrText(IFLA_INFO_KIND, kind);
        if (data !== undefined) writer.nest(IFLA_INFO_DATA, () => data(writer));
      });
    },
    describe: () => `add link ${spec.name} type ${kind}`,
    command() {
      const add = words('ip link add', spec.name, spellAttributes(spec), 'type', kind, spelled);
      return up === 0 ? add : `${add} && ip link set ${spec.name} up`;
    },
  };
}

/** Changes a device; a master of 0 takes it out of its bridge. Same as: `ip link set NAME …`. */
export function setLink(change: LinkChange): NetlinkRequest {
  const { index, name, up, promisc, netnsFd } = change;
  const flags = (up === true ? IFF_UP : 0) | (promisc === true ? IFF_PROMISC : 0);
  const mask = (up === undefined ? 0 : IFF_UP) | (promisc === undefined ? 0 : IFF_PROMISC);
  const spelled = (): string =>
    words(
      spellLink(change),
      spellAttributes(change),
      up === undefined ? '' : up ? 'up' : 'down',
      promisc === undefined ? '' : `promisc ${promisc ? 'on' : 'off'}`,
      netnsFd === undefined ? '' : `netns /proc/self/fd/${netnsFd}`,
    );
  return {
    type: RTM_NEWLINK,
    flags: 0,
    write(writer) {
      writeIfinfomsg(writer, index ?? 0, flags, mask);
      // When the index is given, a name would rename the device.
      writeLinkAttributes(writer, index === undefined ? name : undefined, change);
      if (netnsFd !== undefined) writer.attrU32(IFLA_NET_NS_FD, netnsFd);
    },
    describe: () => `set link ${spelled()}`,
    command: () => `ip link set ${spelled()}`,
  };
}

/**
 * Changes attributes of the device's kind. `data` writes IFLA_INFO_DATA, `spelled` is ip's syntax after `type KIND`. Same as: `ip link set
 * NAME type KIND …`.
 */
export function setLinkData(
  link: { readonly index: number; readonly name: string },
  kind: string,
  data: (writer: MessageWriter) => void,
  spelled: string,
): NetlinkRequest {
  const change = `${link.name} type ${kind} ${spelled}`;
  return {
    type: RTM_NEWLINK,
    flags: 0,
    write(writer) {
      writeIfinfomsg(writer, link.index, 0, 0);
      writer.nest(IFLA_LINKINFO, () => {
        writer.attrText(IFLA_INFO_KIND, kind);
        writer.nest(IFLA_INFO_DATA, () => data(writer));
      });
    },
    describe: () => `set link ${change}`,
    command: () => `ip link set ${change}`,
  };
}

/** Same as: `ip link del NAME`. Returns after a grace period of the kernel, 10–30 ms. */
export function deleteLink(link: LinkRef): NetlinkRequest {
  return {
    type: RTM_DELLINK,
    flags: 0,
    write(writer) {
      writeIfinfomsg(writer, link.index ?? 0, 0, 0);
      if (link.index === undefined) writeLinkAttributes(writer, link.name, {});
    },
    describe: () => `delete link ${spellLink(link)}`,
    command: () => `ip link del ${spellLink(link)}`,
  };
}

/** One device; undefined when there is none. Same as: `ip link show dev NAME`. */
export function getLink(netlink: Netlink, link: LinkRef): Link | undefined {
  return netlink.get(getLinkRequest(link), decodeLink, [ENODEV]);
}

/** The request of getLink, for a batch. Statistics are left out, because they are most of an answer. */
export function getLinkRequest(link: LinkRef): NetlinkRequest {
  return {
    type: RTM_GETLINK,
    flags: 0,
    write(writer) {
      writeIfinfomsg(writer, link.index ?? 0, 0, 0);
      if (link.index === undefined) writeLinkAttributes(writer, link.name, {});
      writer.attrU32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
    },
    describe: () => `get link ${spellLink(link)}`,
  };
}

export interface LinkFilter {
  readonly kind?: string;
  readonly master?: number;
}

/** All devices, or those of one kind or one master. Same as: `ip -d link show [master M] [type KIND]`. */
export function listLinks(netlink: Netlink, filter: LinkFilter = {}): Link[] {
  return dumpLinks(netlink, filter, (link) => link);
}

/** Like listLinks, with a function that reads other values from each answer. */
export function dumpLinks<T>(
  netlink: Netlink,
  { kind, master }: LinkFilter,
  decode: (link: Link, message: MessageReader) => T,
): T[] {
  const request: NetlinkRequest = {
    type: RTM_GETLINK,
    flags: 0,
    write(writer) {
      writeIfinfomsg(writer, 0, 0, 0);
      writer.attrU32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
      if (master !== undefined) writer.attrU32(IFLA_MASTER, master);
      if (kind !== undefined) writer.nest(IFLA_LINKINFO, () => writer.attrText(IFLA_INFO_KIND, kind));
    },
    describe: () => 'list links',
  };
  return netlink.dump(request, (message) => {
    const link = decodeLink(message);
    // A kernel without such a filter sends all devices.
    if (kind !== undefined && link.kind !== kind) return undefined;
    return master !== undefined && link.master !== master ? undefined : decode(link, message);
  });
}

/** Decodes RTM_NEWLINK and RTM_DELLINK. Throws MalformedReply. */
export function decodeLink(message: MessageReader): Link {
  const at = message.struct(IFINFOMSG);
  const link: Mutable<Link> = {
    index: message.view.getInt32(at + 4, true),
    name: '',
    flags: message.view.getUint32(at + 8, true),
    mtu: 0,
    operState: 0,
  };
  const attributes = message.attributes(IFINFOMSG);
  while (attributes.nextOf(DECODED)) decodeLinkAttribute(attributes, link);
  return link;
}

/** The types that decodeLinkAttribute reads, one bit each. */
const DECODED =
  (1 << IFLA_IFNAME) |
  (1 << IFLA_MTU) |
  (1 << IFLA_ADDRESS) |
  (1 << IFLA_LINK) |
  (1 << IFLA_MASTER) |
  (1 << IFLA_OPERSTATE) |
  (1 << IFLA_LINKINFO);

function decodeLinkAttribute(attribute: AttributeReader, link: Mutable<Link>): void {
  switch (attribute.type) {
    case IFLA_IFNAME:
      link.name = attribute.text();
      break;
    case IFLA_MTU:
      link.mtu = attribute.u32();
      break;
    case IFLA_ADDRESS: {
      const mac = attribute.mac();
      if (mac !== undefined) link.mac = mac;
      break;
    }
    case IFLA_LINK:
      link.lowerIndex = attribute.u32();
      break;
    case IFLA_MASTER:
      link.master = attribute.u32();
      break;
    case IFLA_OPERSTATE:
      link.operState = attribute.u8();
      break;
    case IFLA_LINKINFO:
      decodeLinkInfo(attribute.nested(), link);
      break;
  }
}

function decodeData(info: AttributeReader, link: Mutable<Link>): void {
  if (link.kind === 'vxlan') link.vxlan = decodeVxlan(info.nested());
  else if (link.kind === 'bridge') decodeBridge(info.nested(), link);
  else if (link.kind === 'ipip') link.ipip = decodeIpip(info.nested());
}

function decodeBridge(data: AttributeReader, link: Mutable<Link>): void {
  if (data.nextOf(1 << IFLA_BR_VLAN_FILTERING) && data.u8() !== 0) link.vlanFiltering = true;
}

/** The kernel writes a kind before its data. */
function decodeLinkInfo(info: AttributeReader, link: Mutable<Link>): void {
  let portOf = '';
  while (info.next()) {
    if (info.type === IFLA_INFO_KIND) link.kind = info.text();
    else if (info.type === IFLA_INFO_SLAVE_KIND) portOf = info.text();
    else if (info.type === IFLA_INFO_DATA) decodeData(info, link);
    else if (info.type === IFLA_INFO_SLAVE_DATA && portOf === 'bridge') link.port = decodeBridgePort(info.nested());
  }
}

/** The name of a device in messages: its own, or `if5`. */
export function spellLink(link: LinkRef): string {
  return link.name ?? `if${link.index ?? 0}`;
}

/** In the syntax of ip(8) after a device's name. */
export function spellAttributes(link: LinkAttributes): string {
  const { mac, mtu, txQueueLength, master, masterName } = link;
  return words(
    mac === undefined ? '' : `address ${mac}`,
    mtu === undefined ? '' : `mtu ${mtu}`,
    txQueueLength === undefined ? '' : `txqueuelen ${txQueueLength}`,
    master === undefined ? '' : master === 0 ? 'nomaster' : `master ${masterName ?? `if${master}`}`,
  );
}
