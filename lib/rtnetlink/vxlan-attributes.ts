// The attributes of a VTEP: IFLA_VXLAN_ (linux/if_link.h), as flannel sends them (vishvananda/netlink addVxlanAttrs, in its order).

import type { Ip } from '../ip.ts';
import { formatIp } from '../ip.ts';
import type { AttributeReader } from '../netlink/reader.ts';
import type { MessageWriter } from '../netlink/writer.ts';
import { type Mutable, words } from './spelling.ts';

/** Everything that decides whether an existing device can be kept. */
export interface VxlanAttributes {
  /** 1 … 16777215. */
  readonly vni: number;
  /** Index of the device by which tunnel packets leave. */
  readonly lowerIndex?: number;
  /** Source address of the underlay packets; its family is the underlay's. */
  readonly local?: Ip;
  /** Multicast group or single remote for unknown destinations; flannel uses none. */
  readonly group?: Ip;
  /** UDP destination port; the kernel's own default is 8472. */
  readonly port?: number;
  /** Whether received frames teach the FDB; the kernel's own default is yes. */
  readonly learning: boolean;
  /** Group Based Policy extension: security marks in the header. Cannot be changed later. */
  readonly gbp?: boolean;
  readonly l2miss?: boolean;
  readonly l3miss?: boolean;
  readonly proxy?: boolean;
  /** Route short circuit. */
  readonly rsc?: boolean;
  /** UDP checksums over IPv4; absent when creating: the kernel's default, on. */
  readonly udpCsum?: boolean;
  readonly udpZeroCsum6Tx?: boolean;
  readonly udpZeroCsum6Rx?: boolean;
  /** 0 means inherited, or the default. */
  readonly ttl?: number;
  readonly tos?: number;
  /** Seconds a learned entry lives. */
  readonly ageingSec?: number;
  /** Tunnel data comes with each packet (`external`). */
  readonly collectMetadata?: boolean;
}

const IFLA_VXLAN_ID = 1;
const IFLA_VXLAN_GROUP = 2;
const IFLA_VXLAN_LINK = 3;
const IFLA_VXLAN_LOCAL = 4;
const IFLA_VXLAN_TTL = 5;
const IFLA_VXLAN_TOS = 6;
const IFLA_VXLAN_LEARNING = 7;
const IFLA_VXLAN_AGEING = 8;
const IFLA_VXLAN_PROXY = 11;
const IFLA_VXLAN_RSC = 12;
const IFLA_VXLAN_L2MISS = 13;
const IFLA_VXLAN_L3MISS = 14;
const IFLA_VXLAN_PORT = 15;
const IFLA_VXLAN_GROUP6 = 16;
const IFLA_VXLAN_LOCAL6 = 17;
const IFLA_VXLAN_UDP_CSUM = 18;
const IFLA_VXLAN_UDP_ZERO_CSUM6_TX = 19;
const IFLA_VXLAN_UDP_ZERO_CSUM6_RX = 20;
const IFLA_VXLAN_GBP = 23;
const IFLA_VXLAN_COLLECT_METADATA = 25;

/** The place of a VTEP in the underlay: the device underneath, and the source of tunnel packets. */
export interface VxlanPlace {
  /** The present VNI: the kernel cannot change it. */
  readonly vni: number;
  readonly lowerIndex: number;
  readonly local: Ip;
}

/** Writes the payload of IFLA_INFO_DATA. Attributes that flannel always sends as 0 are always sent. */
export function writeVxlan(writer: MessageWriter, vxlan: VxlanAttributes): void {
  const { local, group } = vxlan;
  writer.attrU32(IFLA_VXLAN_ID, vxlan.vni);
  if (vxlan.lowerIndex !== undefined) writer.attrU32(IFLA_VXLAN_LINK, vxlan.lowerIndex);
  if (local !== undefined) writer.attrIp(local.family === 4 ? IFLA_VXLAN_LOCAL : IFLA_VXLAN_LOCAL6, local);
  if (group !== undefined) writer.attrIp(group.family === 4 ? IFLA_VXLAN_GROUP : IFLA_VXLAN_GROUP6, group);
  writer.attrU8(IFLA_VXLAN_TTL, vxlan.ttl ?? 0);
  writer.attrU8(IFLA_VXLAN_TOS, vxlan.tos ?? 0);
  writer.attrSwitch(IFLA_VXLAN_LEARNING, vxlan.learning);
  writer.attrSwitch(IFLA_VXLAN_PROXY, vxlan.proxy === true);
  writer.attrSwitch(IFLA_VXLAN_RSC, vxlan.rsc === true);
  writer.attrSwitch(IFLA_VXLAN_L2MISS, vxlan.l2miss === true);
  writer.attrSwitch(IFLA_VXLAN_L3MISS, vxlan.l3miss === true);
  writer.attrSwitch(IFLA_VXLAN_UDP_ZERO_CSUM6_TX, vxlan.udpZeroCsum6Tx === true);
  writer.attrSwitch(IFLA_VXLAN_UDP_ZERO_CSUM6_RX, vxlan.udpZeroCsum6Rx === true);
  writer.attrSwitch(IFLA_VXLAN_UDP_CSUM, vxlan.udpCsum);
  if (vxlan.gbp === true) writer.flag(IFLA_VXLAN_GBP);
  if (vxlan.collectMetadata === true) writer.attrU8(IFLA_VXLAN_COLLECT_METADATA, 1);
  if (vxlan.ageingSec !== undefined) writer.attrU32(IFLA_VXLAN_AGEING, vxlan.ageingSec);
  if (vxlan.port !== undefined) writer.attrU16be(IFLA_VXLAN_PORT, vxlan.port);
}

/** Writes the attributes that move a device; all others stay as they are. */
export function writeVxlanPlace(writer: MessageWriter, { vni, lowerIndex, local }: VxlanPlace): void {
  writer.attrU32(IFLA_VXLAN_LINK, lowerIndex);
  writer.attrU32(IFLA_VXLAN_ID, vni);
  writer.attrIp(local.family === 4 ? IFLA_VXLAN_LOCAL : IFLA_VXLAN_LOCAL6, local);
}

/** Decodes the payload of IFLA_INFO_DATA of a vxlan device. Throws MalformedReply. */
export function decodeVxlan(attributes: AttributeReader): VxlanAttributes {
  const vxlan: Mutable<VxlanAttributes> = { vni: 0, learning: false };
  while (attributes.next()) {
    if (!decodeAddressing(attributes, vxlan)) decodeSwitches(attributes, vxlan);
  }
  return vxlan;
}

function decodeAddressing(attribute: AttributeReader, vxlan: Mutable<VxlanAttributes>): boolean {
  switch (attribute.type) {
    case IFLA_VXLAN_ID:
      vxlan.vni = attribute.u32();
      return true;
    case IFLA_VXLAN_LINK:
      vxlan.lowerIndex = attribute.u32();
      return true;
    case IFLA_VXLAN_LOCAL:
    case IFLA_VXLAN_LOCAL6:
      vxlan.local = attribute.ip();
      return true;
    case IFLA_VXLAN_GROUP:
    case IFLA_VXLAN_GROUP6:
      vxlan.group = attribute.ip();
      return true;
    case IFLA_VXLAN_PORT:
      vxlan.port = attribute.u16be();
      return true;
    case IFLA_VXLAN_TTL:
      vxlan.ttl = attribute.u8();
      return true;
    case IFLA_VXLAN_TOS:
      vxlan.tos = attribute.u8();
      return true;
    case IFLA_VXLAN_AGEING:
      vxlan.ageingSec = attribute.u32();
      return true;
    default:
      return false;
  }
}

function decodeSwitches(attribute: AttributeReader, vxlan: Mutable<VxlanAttributes>): void {
  const { type } = attribute;
  if (type === IFLA_VXLAN_GBP) vxlan.gbp = true;
  else if (type === IFLA_VXLAN_LEARNING) vxlan.learning = attribute.u8() !== 0;
  else if (type === IFLA_VXLAN_PROXY) vxlan.proxy = attribute.u8() !== 0;
  else if (type === IFLA_VXLAN_RSC) vxlan.rsc = attribute.u8() !== 0;
  else if (type === IFLA_VXLAN_L2MISS) vxlan.l2miss = attribute.u8() !== 0;
  else if (type === IFLA_VXLAN_L3MISS) vxlan.l3miss = attribute.u8() !== 0;
  else if (type === IFLA_VXLAN_UDP_CSUM) vxlan.udpCsum = attribute.u8() !== 0;
  else if (type === IFLA_VXLAN_UDP_ZERO_CSUM6_TX) vxlan.udpZeroCsum6Tx = attribute.u8() !== 0;
  else if (type === IFLA_VXLAN_UDP_ZERO_CSUM6_RX) vxlan.udpZeroCsum6Rx = attribute.u8() !== 0;
  else if (type === IFLA_VXLAN_COLLECT_METADATA) vxlan.collectMetadata = attribute.u8() !== 0;
}

/** In the syntax of ip(8) after `type vxlan`; `dev` names the device underneath. */
export function spellVxlan(vxlan: VxlanAttributes, dev?: string): string {
  const { lowerIndex, local, group, port, udpCsum } = vxlan;
  return words(
    `id ${vxlan.vni}`,
    group === undefined ? '' : `remote ${formatIp(group)}`,
    local === undefined ? '' : `local ${formatIp(local)}`,
    lowerIndex === undefined ? '' : `dev ${dev ?? `if${lowerIndex}`}`,
    port === undefined ? '' : `dstport ${port}`,
    vxlan.ttl === undefined || vxlan.ttl === 0 ? '' : `ttl ${vxlan.ttl}`,
    vxlan.ageingSec === undefined ? '' : `ageing ${vxlan.ageingSec}`,
    vxlan.learning ? 'learning' : 'nolearning',
    vxlan.gbp === true ? 'gbp' : '',
    udpCsum === undefined ? '' : udpCsum ? 'udpcsum' : 'noudpcsum',
  );
}
