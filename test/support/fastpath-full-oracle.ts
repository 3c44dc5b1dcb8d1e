// What the mode `full` must do with a packet, computed independently of the programs. The inner packets of the tunnel are judged by the
// oracle for the program at the tunnel's device, because both ways must have the same result.

import type { Reason } from '../../flanneld/fastpath/programs/reasons.ts';
import { contains, formatIp, type IpPrefix, ipFromBytes, ipToBytes, parseIp } from '../../lib/ip.ts';
import { type Mac, macFromBytes, macToBytes } from '../../lib/mac.ts';
import { internetChecksum, viewOf } from '../../lib/packet-bytes.ts';
import { type Arrival, decide, type OracleWorld } from './fastpath-oracle.ts';

export interface FullWorld extends OracleWorld {
  readonly local: string;
  readonly underlayMac: Mac;
  readonly ownMac: Mac;
  readonly vni: number;
  readonly port: number;
  readonly ttl: number;
  /** Each peer's subnet, its address in the underlay, and the largest packet that the kernel can send there; 0 without a route. */
  readonly outers: readonly { readonly subnet: IpPrefix; readonly address: string; readonly mtu: number }[];
}

export interface FullDecision {
  /** The reasons under which the packet is counted, in any order. */
  readonly reasons: readonly Reason[];
  readonly isRedirected: boolean;
  /** The frame, with zeros in place of what cannot be predicted: the outer IP header's id and checksum, and the source port. */
  readonly frame: Uint8Array;
}

const OUTER_BYTES = 50;
const IPPROTO_UDP = 17;

/** The decision about a packet from a pod. */
export function decideFromPod(world: FullWorld, arrival: Arrival): FullDecision {
  const { reason, frame } = decide(world, arrival);
  const isFast = reason === 'to-pod' || reason === 'to-peer';
  const same: FullDecision = { reasons: [reason], isRedirected: isFast, frame };
  if (reason !== 'to-peer' || viewOf(frame).getUint16(12) !== 0x0800) return same;
  const left = notEncapsulated(world, arrival);
  if (left !== undefined) return { ...same, reasons: [left, reason] };
  return { reasons: ['encapsulated'], isRedirected: true, frame: encapsulated(world, arrival.frame, frame) };
}

function outerOf(world: FullWorld, address: Uint8Array): FullWorld['outers'][number] | undefined {
  return world.outers.find(({ subnet }) => contains(subnet, ipFromBytes(address)));
}

function notEncapsulated(world: FullWorld, { frame, gsoSize }: Arrival): Reason | undefined {
  if (lacksChecksum(frame)) return 'no-checksum';
  const mtu = outerOf(world, frame.subarray(30, 34))?.mtu ?? 0;
  const tcpBytes = ((frame[46] ?? 0) >> 4) * 4;
  const bytes = gsoSize === 0 ? frame.length - 14 : 20 + tcpBytes + gsoSize;
  if (bytes + OUTER_BYTES > mtu) return 'no-route';
  // BPF_PROG_TEST_RUN does not mark a packet as TCP, and the kernel changes the length of a segmented packet only if it is TCP.
  return gsoSize === 0 ? undefined : 'no-room';
}

/** Whether a UDP datagram has no checksum, or is too short to have one. */
function lacksChecksum(frame: Uint8Array): boolean {
  if (frame[23] !== IPPROTO_UDP) return false;
  return frame.length < 42 || viewOf(frame).getUint16(40) === 0;
}

function encapsulated(world: FullWorld, original: Uint8Array, inner: Uint8Array): Uint8Array {
  const frame = new Uint8Array(OUTER_BYTES + inner.length);
  const view = viewOf(frame);
  // The kernel writes the MACs later, when it knows the next hop's.
  frame.set(original.subarray(0, 14));
  const ecn = (inner[15] ?? 0) & 3;
  view.setUint16(14, 0x4500 | (ecn === 3 ? 2 : ecn));
  view.setUint16(16, frame.length - 14);
  view.setUint16(22, (world.ttl << 8) | IPPROTO_UDP);
  frame.set(ipToBytes(parseIp(world.local)), 26);
  frame.set(ipToBytes(parseIp(outerOf(world, inner.subarray(30, 34))?.address ?? '0.0.0.0')), 30);
  view.setUint16(36, world.port);
  view.setUint16(38, frame.length - 34);
  view.setUint32(42, 0x0800_0000);
  view.setUint32(46, world.vni << 8);
  frame.set(inner, OUTER_BYTES);
  return frame;
}

/** The decision about a packet at the external interface. */
export function decideFromUnderlay(world: FullWorld, arrival: Arrival): FullDecision {
  const { frame } = arrival;
  const left = (...reasons: Reason[]): FullDecision => ({ reasons, isRedirected: false, frame });
  if (!isForTunnel(world, frame) || world.isPaused) return left();
  if (!isOuterRight(world, frame)) return left('outer');
  const inner = frame.subarray(OUTER_BYTES);
  const from: Arrival = { ...arrival, program: 'from-tunnel', frame: inner, deviceMac: world.ownMac };
  const { reason, frame: routed } =
    viewOf(inner).getUint16(12) === 0x0800 ? decide(world, from) : { reason: 'not-ip' as const, frame: inner };
  if (HEADER_REASONS.has(reason)) return left('inner');
  if (lacksChecksum(inner)) return left('no-checksum');
  const peer = outerOf(world, inner.subarray(26, 30));
  if (peer === undefined) return left('inner');
  if (peer.address !== formatIp(ipFromBytes(frame.subarray(26, 30)))) return left('outer-sender');
  if (reason !== 'from-peer') return left('inner');
  const marked = withMark((frame[15] ?? 0) & 3, routed);
  if (marked === undefined) return left('ecn');
  // BPF_PROG_TEST_RUN does not mark a packet as TCP; see above.
  return arrival.gsoSize > 0 ? left('no-room') : { reasons: ['decapsulated'], isRedirected: true, frame: marked };
}

/** Reasons that lie in the inner packet itself, whatever its addresses are. */
const HEADER_REASONS: ReadonlySet<Reason> = new Set([
  ...(['not-ip', 'not-routed', 'short', 'options', 'fragment', 'length', 'checksum', 'ttl', 'protocol'] as const),
]);

function isForTunnel(world: FullWorld, frame: Uint8Array): boolean {
  const view = viewOf(frame);
  if (frame.length < 88 || view.getUint16(12) !== 0x0800) return false;
  return frame[23] === IPPROTO_UDP && view.getUint16(36) === world.port;
}

function isOuterRight(world: FullWorld, frame: Uint8Array): boolean {
  const view = viewOf(frame);
  const isWhole = view.getUint16(16) === frame.length - 14 && view.getUint16(38) === frame.length - 34;
  const isPlain = frame[14] === 0x45 && (view.getUint16(20) & 0x3fff) === 0 && (frame[22] ?? 0) > 0;
  const isValid = isWhole && isPlain && internetChecksum(frame.subarray(14, 34)) === 0;
  const isOurs = view.getUint32(42) === 0x0800_0000 && view.getUint32(46) === world.vni << 8;
  const isToUs = macFromBytes(frame.subarray(0, 6)) === world.underlayMac;
  return isValid && isOurs && isToUs && formatIp(ipFromBytes(frame.subarray(30, 34))) === world.local;
}

/** RFC 6040, figure 4, as far as it is certain: undefined where the packet must be dropped, or is unusual. */
function withMark(outer: number, inner: Uint8Array): Uint8Array | undefined {
  const own = (inner[15] ?? 0) & 3;
  if (outer === own) return inner;
  if (outer !== 3 || own === 0) return undefined;
  const copy = inner.slice();
  copy[15] = (copy[15] ?? 0) | 3;
  copy.fill(0, 24, 26);
  viewOf(copy).setUint16(24, internetChecksum(copy.subarray(14, 34)));
  return copy;
}

/** A frame of the tunnel around an inner frame; correct unless the test spoils it afterwards. */
export function wrapFrame(
  world: FullWorld,
  inner: Uint8Array,
  outer: { readonly source: string; readonly tos: number; readonly id: number },
): Uint8Array {
  const frame = encapsulated(world, new Uint8Array(14), inner);
  const view = viewOf(frame);
  frame.set(macToBytes(world.underlayMac), 0);
  view.setUint16(12, 0x0800);
  frame[15] = outer.tos;
  view.setUint16(18, outer.id);
  frame.set(ipToBytes(parseIp(outer.source)), 26);
  frame.set(ipToBytes(parseIp(world.local)), 30);
  view.setUint16(34, 40_000);
  view.setUint16(24, internetChecksum(frame.subarray(14, 34)));
  return frame;
}
