// What the fast path must do with a packet, computed independently of the programs: from the bytes of a frame to the verdict, the reason
// and the bytes that leave. It shares nothing with the assembly code except the names of the reasons.

import type { Reason } from '../../flanneld/fastpath/programs/reasons.ts';
import { contains, type Family, formatIp, type IpPrefix, ipFromBytes } from '../../lib/ip.ts';
import { type Mac, macFromBytes, macToBytes } from '../../lib/mac.ts';
import { internetChecksum, viewOf } from '../../lib/packet-bytes.ts';

export interface OraclePod {
  readonly ifindex: number;
  readonly podMac: Mac;
  readonly bridgeMac: Mac;
}

export interface OraclePeer {
  readonly subnet: IpPrefix;
  readonly peerMac: Mac;
  readonly ownMac: Mac;
}

export interface OracleWorld {
  readonly own: readonly IpPrefix[];
  readonly mtu: number;
  /** The pods by their address. */
  readonly pods: ReadonlyMap<string, OraclePod>;
  readonly peers: readonly OraclePeer[];
  /** Tracked connections, in the form that `flowName` writes. */
  readonly tracked: ReadonlySet<string>;
  readonly isPaused: boolean;
  /** The indexes of pods' devices that exist. */
  readonly devices: ReadonlySet<number>;
}

export interface Arrival {
  readonly program: 'from-pod' | 'from-tunnel';
  readonly frame: Uint8Array;
  readonly ifindex: number;
  /** The MAC of the device by which the packet arrived. */
  readonly deviceMac: Mac;
  readonly gsoSize: number;
}

export interface Decision {
  readonly reason: Reason;
  /** A packet that is left to the kernel is unchanged. */
  readonly frame: Uint8Array;
}

interface Parsed {
  readonly family: Family;
  readonly source: string;
  readonly destination: string;
  readonly protocol: number;
  readonly ports: number;
  readonly headerBytes: number;
}

export function flowName(protocol: number, source: string, destination: string, ports: number): string {
  return `${protocol} ${source} ${destination} ${ports}`;
}

export function decide(world: OracleWorld, arrival: Arrival): Decision {
  const { frame, program } = arrival;
  const left = (reason: Reason): Decision => ({ reason, frame });
  const parsed = parse(world, arrival);
  if (typeof parsed === 'string') return left(parsed);
  if (world.isPaused) return left('paused');
  return program === 'from-pod' ? fromPod(world, arrival, parsed, left) : fromTunnel(world, arrival, parsed, left);
}

function fromPod(world: OracleWorld, arrival: Arrival, parsed: Parsed, left: (reason: Reason) => Decision): Decision {
  const { frame } = arrival;
  const sender = world.pods.get(parsed.source);
  if (sender === undefined || sender.ifindex !== arrival.ifindex) return left('source');
  if (isWithin(world.own, frame, parsed)) {
    const wrong = notToPod(world, frame, parsed, sender) ?? last(world, arrival, parsed) ?? gone(world, parsed);
    return wrong === undefined ? { reason: 'to-pod', frame } : left(wrong);
  }
  if (macFromBytes(frame.subarray(0, 6)) !== sender.bridgeMac) return left('not-routed');
  const peer = peerOf(world, destinationBytes(frame, parsed));
  if (peer === undefined) return left('destination');
  const wrong = last(world, arrival, parsed);
  if (wrong !== undefined) return left(wrong);
  return { reason: 'to-peer', frame: routed(frame, parsed, peer.peerMac, peer.ownMac) };
}

function notToPod(world: OracleWorld, frame: Uint8Array, parsed: Parsed, sender: OraclePod): Reason | undefined {
  const pod = world.pods.get(parsed.destination);
  if (pod === undefined) return 'destination';
  if (pod.ifindex === sender.ifindex) return 'same-pod';
  return macFromBytes(frame.subarray(0, 6)) === pod.podMac ? undefined : 'not-bridged';
}

function fromTunnel(
  world: OracleWorld,
  arrival: Arrival,
  parsed: Parsed,
  left: (reason: Reason) => Decision,
): Decision {
  const { frame } = arrival;
  const peer = peerOf(world, sourceBytes(frame, parsed));
  if (peer === undefined || peer.peerMac !== macFromBytes(frame.subarray(6, 12))) return left('sender');
  const pod = world.pods.get(parsed.destination);
  if (pod === undefined) return left('destination');
  const wrong = last(world, arrival, parsed) ?? gone(world, parsed);
  if (wrong !== undefined) return left(wrong);
  return { reason: 'from-peer', frame: routed(frame, parsed, pod.podMac, pod.bridgeMac) };
}

const etherTypes: ReadonlyMap<number, Family> = new Map([
  [0x0800, 4],
  [0x86dd, 6],
]);

/** What follows from the packet alone: the reason why it cannot take the fast path, or its parts. */
function parse(world: OracleWorld, { frame, program, deviceMac }: Arrival): Parsed | Reason {
  const family = etherTypes.get(viewOf(frame).getUint16(12));
  if (family === undefined || !world.own.some(({ ip }) => ip.family === family)) return 'not-ip';
  if (program === 'from-tunnel' && macFromBytes(frame.subarray(0, 6)) !== deviceMac) return 'not-routed';
  return parseIp(frame, family);
}

function parseIp(frame: Uint8Array, family: Family): Parsed | Reason {
  const headerBytes = family === 4 ? 20 : 40;
  if (frame.length < 14 + headerBytes + 4) return 'short';
  const header = frame.subarray(14, 14 + headerBytes);
  const wrong = family === 4 ? wrongIpv4(frame, header) : wrongIpv6(frame, header);
  if (wrong !== undefined) return wrong;
  const [protocol, ttl] = family === 4 ? [header[9], header[8]] : [header[6], header[7]];
  if ((ttl ?? 0) < 2) return 'ttl';
  if (protocol !== 6 && protocol !== 17) return 'protocol';
  const parsed = { family, protocol, headerBytes, ports: viewOf(frame).getUint32(14 + headerBytes) };
  return {
    ...parsed,
    source: formatIp(ipFromBytes(sourceBytes(frame, parsed))),
    destination: formatIp(ipFromBytes(destinationBytes(frame, parsed))),
  };
}

function wrongIpv4(frame: Uint8Array, header: Uint8Array): Reason | undefined {
  const view = viewOf(header);
  if (view.getUint8(0) !== 0x45) return 'options';
  const fragment = view.getUint16(6);
  if ((fragment & 0x2000) !== 0 || (fragment & 0x1fff) !== 0) return 'fragment';
  if (view.getUint16(2) !== frame.length - 14) return 'length';
  return internetChecksum(header) === 0 ? undefined : 'checksum';
}

function wrongIpv6(frame: Uint8Array, header: Uint8Array): Reason | undefined {
  const view = viewOf(header);
  if (view.getUint8(0) >> 4 !== 6) return 'options';
  return view.getUint16(4) === frame.length - 54 ? undefined : 'length';
}

type Header = Pick<Parsed, 'family'>;

function sourceBytes(frame: Uint8Array, { family }: Header): Uint8Array {
  return family === 4 ? frame.subarray(26, 30) : frame.subarray(22, 38);
}

function destinationBytes(frame: Uint8Array, { family }: Header): Uint8Array {
  return family === 4 ? frame.subarray(30, 34) : frame.subarray(38, 54);
}

function isWithin(prefixes: readonly IpPrefix[], frame: Uint8Array, parsed: Parsed): boolean {
  const ip = ipFromBytes(destinationBytes(frame, parsed));
  return prefixes.some((prefix) => prefix.ip.family === ip.family && contains(prefix, ip));
}

function peerOf(world: OracleWorld, address: Uint8Array): OraclePeer | undefined {
  const ip = ipFromBytes(address);
  return world.peers.find(({ subnet }) => subnet.ip.family === ip.family && contains(subnet, ip));
}

function size(world: OracleWorld, { frame, gsoSize }: Arrival, parsed: Parsed): Reason | undefined {
  if (gsoSize === 0) return frame.length - 14 > world.mtu ? 'size' : undefined;
  if (parsed.protocol === 17) return 'segmented-udp';
  const lengthAt = 14 + parsed.headerBytes + 12;
  if (frame.length <= lengthAt) return 'short';
  const tcpBytes = ((frame[lengthAt] ?? 0) >> 4) * 4;
  return parsed.headerBytes + tcpBytes + gsoSize > world.mtu ? 'size' : undefined;
}

/** The checks that the programs make last, because they take longest. */
function last(world: OracleWorld, arrival: Arrival, parsed: Parsed): Reason | undefined {
  return size(world, arrival, parsed) ?? track(world, parsed);
}

function track(world: OracleWorld, { protocol, source, destination, ports }: Parsed): Reason | undefined {
  return world.tracked.has(flowName(protocol, source, destination, ports)) ? 'tracked' : undefined;
}

/** A pod whose device is gone is left to the kernel. */
function gone({ devices, pods }: OracleWorld, { destination }: Parsed): Reason | undefined {
  return devices.has(pods.get(destination)?.ifindex ?? 0) ? undefined : 'no-device';
}

/** The packet as a router forwards it: with the MACs of the next hop and its own, a ttl less by 1, and the new checksum of the header. */
function routed(frame: Uint8Array, parsed: Parsed, to: Mac, from: Mac): Uint8Array {
  const copy = frame.slice();
  copy.set(macToBytes(to), 0);
  copy.set(macToBytes(from), 6);
  const ttlAt = parsed.family === 4 ? 22 : 21;
  copy[ttlAt] = (copy[ttlAt] ?? 0) - 1;
  if (parsed.family === 4) {
    copy.fill(0, 24, 26);
    viewOf(copy).setUint16(24, internetChecksum(copy.subarray(14, 34)));
  }
  return copy;
}
