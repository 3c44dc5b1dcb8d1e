// Connections that the kernel tracks (linux/netfilter/nfnetlink_conntrack.h): finds those of a UDP port and deletes them. A tracked
// connection keeps the destination that a rule gave it when it began, even after the rule is gone.

import { type Family, formatIp, type Ip, sameIp } from '../ip.ts';
import type { Netlink } from '../netlink/connection.ts';
import { NLA_F_NESTED, NLM_F_DUMP } from '../netlink/constants.ts';
import type { AttributeReader, MessageReader } from '../netlink/reader.ts';
import type { NetlinkRequest } from '../netlink/request.ts';
import type { MessageWriter } from '../netlink/writer.ts';
import {
  CTA_FILTER,
  CTA_FILTER_F_CTA_IP_DST,
  CTA_FILTER_F_CTA_IP_SRC,
  CTA_FILTER_F_CTA_PROTO_DST_PORT,
  CTA_FILTER_F_CTA_PROTO_NUM,
  CTA_FILTER_ORIG_FLAGS,
  CTA_FILTER_REPLY_FLAGS,
  CTA_ID,
  CTA_IP_V4_DST,
  CTA_IP_V4_SRC,
  CTA_IP_V6_DST,
  CTA_IP_V6_SRC,
  CTA_PROTO_DST_PORT,
  CTA_PROTO_NUM,
  CTA_PROTO_SRC_PORT,
  CTA_STATUS,
  CTA_TUPLE_IP,
  CTA_TUPLE_ORIG,
  CTA_TUPLE_PROTO,
  CTA_TUPLE_REPLY,
  CTA_ZONE,
  IPCTNL_MSG_CT_DELETE,
  IPCTNL_MSG_CT_GET,
  IPS_SEEN_REPLY,
  NFPROTO_IPV4,
  NFPROTO_IPV6,
} from './nf-tables-constants.ts';
import { NFGENMSG_BYTES } from './nftables.ts';

const IPPROTO_UDP = 17;

export interface Tuple {
  readonly source: Ip;
  readonly destination: Ip;
  readonly protocol: number;
  readonly sourcePort: number;
  readonly destinationPort: number;
}

export interface Connection {
  readonly family: Family;
  /** The addresses and ports of the first packet before any translation. */
  readonly original: Tuple;
  /** The addresses and ports of answers. Their source is the real other side. */
  readonly reply: Tuple;
  /** Distinguishes the connection from a later one with the same addresses and ports. */
  readonly id: Uint8Array;
  readonly zone: Uint8Array | undefined;
  readonly isAnswered: boolean;
}

/**
 * Lists the UDP connections whose first packet was sent to `port`. The kernel filters from 5.8 on; the result is always filtered
 * here.
 */
export function listUdpConnections(netlink: Netlink, family: Family, port: number): Connection[] {
  const request: NetlinkRequest = {
    type: IPCTNL_MSG_CT_GET,
    flags: NLM_F_DUMP,
    write(writer) {
      writeFamily(writer, family);
      writer.nest(CTA_TUPLE_ORIG | NLA_F_NESTED, () => {
        writer.nest(CTA_TUPLE_PROTO | NLA_F_NESTED, () => {
          writer.attrU8(CTA_PROTO_NUM, IPPROTO_UDP);
          writer.attrU16be(CTA_PROTO_DST_PORT, port);
        });
      });
      writer.nest(CTA_FILTER | NLA_F_NESTED, () => {
        writer.attrU32(CTA_FILTER_ORIG_FLAGS, CTA_FILTER_F_CTA_PROTO_NUM | CTA_FILTER_F_CTA_PROTO_DST_PORT);
        writer.attrU32(CTA_FILTER_REPLY_FLAGS, 0);
      });
    },
    describe: () => `list connections to udp port ${port}`,
  };
  return netlink.dump(request, (message) => {
    const connection = decodeConnection(message, family);
    if (connection?.original.protocol !== IPPROTO_UDP) return undefined;
    return connection.original.destinationPort === port ? connection : undefined;
  });
}

/** Lists the connections whose first packet was sent from one address to another. Same as: `conntrack -L -s FROM -d TO`. */
export function listConnectionsBetween(netlink: Netlink, from: Ip, to: Ip): Connection[] {
  const { family } = from;
  const request: NetlinkRequest = {
    type: IPCTNL_MSG_CT_GET,
    flags: NLM_F_DUMP,
    write(writer) {
      writeFamily(writer, family);
      writer.nest(CTA_TUPLE_ORIG | NLA_F_NESTED, () => writeAddresses(writer, family, from, to));
      writer.nest(CTA_FILTER | NLA_F_NESTED, () => {
        writer.attrU32(CTA_FILTER_ORIG_FLAGS, CTA_FILTER_F_CTA_IP_SRC | CTA_FILTER_F_CTA_IP_DST);
        writer.attrU32(CTA_FILTER_REPLY_FLAGS, 0);
      });
    },
    describe: () => `list connections of ${formatIp(from)} to ${formatIp(to)}`,
  };
  return netlink.dump(request, (message) => {
    const connection = decodeConnection(message, family);
    if (connection === undefined || !sameIp(connection.original.source, from)) return undefined;
    return sameIp(connection.original.destination, to) ? connection : undefined;
  });
}

/** Fails with ENOENT when the connection ended meanwhile. Same as: `conntrack -D --orig-src … --orig-dst … -p udp …`. */
export function deleteConnection({ family, original, id, zone }: Connection): NetlinkRequest {
  return {
    type: IPCTNL_MSG_CT_DELETE,
    flags: 0,
    write(writer) {
      writeFamily(writer, family);
      writer.nest(CTA_TUPLE_ORIG | NLA_F_NESTED, () => writeTuple(writer, family, original));
      writer.attrBytes(CTA_ID, id);
      if (zone !== undefined) writer.attrBytes(CTA_ZONE, zone);
    },
    describe: () => `delete connection to udp port ${original.destinationPort}`,
  };
}

/** Whether answers come from `ip`. */
export function leadsTo(connection: Connection, ip: Ip): boolean {
  return sameIp(connection.reply.source, ip);
}

function writeFamily(writer: MessageWriter, family: Family): void {
  writer.u32(family === 4 ? NFPROTO_IPV4 : NFPROTO_IPV6);
}

function writeAddresses(writer: MessageWriter, family: Family, source: Ip, destination: Ip): void {
  writer.nest(CTA_TUPLE_IP | NLA_F_NESTED, () => {
    writer.attrIp(family === 4 ? CTA_IP_V4_SRC : CTA_IP_V6_SRC, source);
    writer.attrIp(family === 4 ? CTA_IP_V4_DST : CTA_IP_V6_DST, destination);
  });
}

/** Addresses and ports as the kernel reads them in a request. */
export function writeTuple(writer: MessageWriter, family: Family, tuple: Tuple): void {
  writeAddresses(writer, family, tuple.source, tuple.destination);
  writer.nest(CTA_TUPLE_PROTO | NLA_F_NESTED, () => {
    writer.attrU8(CTA_PROTO_NUM, tuple.protocol);
    writer.attrU16be(CTA_PROTO_SRC_PORT, tuple.sourcePort);
    writer.attrU16be(CTA_PROTO_DST_PORT, tuple.destinationPort);
  });
}

function decodeConnection(message: MessageReader, family: Family): Connection | undefined {
  let original: Tuple | undefined;
  let reply: Tuple | undefined;
  let id: Uint8Array | undefined;
  let zone: Uint8Array | undefined;
  let isAnswered = false;
  const attributes = message.attributes(NFGENMSG_BYTES);
  while (attributes.next()) {
    if (attributes.type === CTA_TUPLE_ORIG) original = decodeTuple(attributes.nested());
    else if (attributes.type === CTA_TUPLE_REPLY) reply = decodeTuple(attributes.nested());
    else if (attributes.type === CTA_ID) id = attributes.copy();
    else if (attributes.type === CTA_ZONE) zone = attributes.copy();
    else if (attributes.type === CTA_STATUS && attributes.length === 4) {
      isAnswered = (attributes.view.getUint32(attributes.at, false) & IPS_SEEN_REPLY) !== 0;
    }
  }
  if (original === undefined || reply === undefined || id === undefined) return undefined;
  return { family, original, reply, id, zone, isAnswered };
}

function decodeTuple(attributes: AttributeReader): Tuple | undefined {
  let addresses: { source?: Ip; destination?: Ip } = {};
  let ports = { protocol: 0, sourcePort: 0, destinationPort: 0 };
  while (attributes.next()) {
    if (attributes.type === CTA_TUPLE_PROTO) ports = decodePorts(attributes.nested());
    else if (attributes.type === CTA_TUPLE_IP) addresses = decodeAddresses(attributes.nested());
  }
  const { source, destination } = addresses;
  return source === undefined || destination === undefined ? undefined : { source, destination, ...ports };
}

function decodeAddresses(attributes: AttributeReader): { source?: Ip; destination?: Ip } {
  const addresses: { source?: Ip; destination?: Ip } = {};
  while (attributes.next()) {
    if (attributes.type === CTA_IP_V4_SRC || attributes.type === CTA_IP_V6_SRC) addresses.source = attributes.ip();
    else if (attributes.type === CTA_IP_V4_DST || attributes.type === CTA_IP_V6_DST) {
      addresses.destination = attributes.ip();
    }
  }
  return addresses;
}

function decodePorts(attributes: AttributeReader): { protocol: number; sourcePort: number; destinationPort: number } {
  const ports = { protocol: 0, sourcePort: 0, destinationPort: 0 };
  while (attributes.next()) {
    if (attributes.type === CTA_PROTO_NUM) ports.protocol = attributes.u8();
    else if (attributes.type === CTA_PROTO_SRC_PORT) ports.sourcePort = attributes.u16be();
    else if (attributes.type === CTA_PROTO_DST_PORT) ports.destinationPort = attributes.u16be();
  }
  return ports;
}
