// The attributes of an IPIP device: IPv4 in IPv4, RFC 2003 (linux/if_tunnel.h IFLA_IPTUN_).

import type { Ip } from '../ip.ts';
import type { AttributeReader } from '../netlink/reader.ts';
import type { MessageWriter } from '../netlink/writer.ts';
import type { Mutable } from './spelling.ts';

export interface IpipAttributes {
  /** Source address of the outer packets. Absent: any. */
  readonly local?: Ip;
  /** The one peer of a point-to-point tunnel. Absent: the gateway of the route is the peer. */
  readonly remote?: Ip;
  /** Whether every outer packet has DF set. If not, it has DF only when the inner packet has. */
  readonly pathMtuDiscovery?: boolean;
}

const IFLA_IPTUN_LOCAL = 2;
const IFLA_IPTUN_REMOTE = 3;
const IFLA_IPTUN_TTL = 4;
const IFLA_IPTUN_PROTO = 9;
const IFLA_IPTUN_PMTUDISC = 10;

/** Writes the payload of IFLA_INFO_DATA. Outer ttl 0: that of the inner packet. Inner protocol 0: any,
 * as flannel has it. */
export function writeIpip(writer: MessageWriter, local: Ip): void {
  writer.attrIp(IFLA_IPTUN_LOCAL, local);
  writer.attrU8(IFLA_IPTUN_TTL, 0);
  writer.attrU8(IFLA_IPTUN_PROTO, 0);
  writer.attrU8(IFLA_IPTUN_PMTUDISC, 0);
}

/** Decodes the payload of IFLA_INFO_DATA. */
export function decodeIpip(data: AttributeReader): IpipAttributes {
  const ipip: Mutable<IpipAttributes> = {};
  while (data.next()) {
    if (data.type === IFLA_IPTUN_PMTUDISC) ipip.pathMtuDiscovery = data.u8() !== 0;
    if (data.type !== IFLA_IPTUN_LOCAL && data.type !== IFLA_IPTUN_REMOTE) continue;
    const ip = data.ip();
    if (ip.value === 0n) continue;
    if (data.type === IFLA_IPTUN_LOCAL) ipip.local = ip;
    else ipip.remote = ip;
  }
  return ipip;
}
