// A node as the fast path's programs see it, for tests that run them on packets without sending any: devices in a namespace, maps with
// three pods and two peers, tracked connections, and frames that are mostly correct.

import fc from 'fast-check';
import { addressKey, encodePeer, encodePod } from '../../flanneld/fastpath/programs/layout.ts';
import {
  createMaps,
  type LoadedPrograms,
  loadPrograms,
  type NodeMaps,
} from '../../flanneld/fastpath/programs/node-programs.ts';
import { type OuterSettings, writeSettings } from '../../flanneld/fastpath/programs/settings.ts';
import { type BpfMap, updateElement } from '../../lib/bpf/map.ts';
import { type Family, formatIp, type Ip, type IpPrefix, ipToBytes, parseIp, parsePrefix } from '../../lib/ip.ts';
import { type Mac, macToBytes, parseMac } from '../../lib/mac.ts';
import { openNetlink } from '../../lib/netlink/connection.ts';
import { internetChecksum, viewOf } from '../../lib/packet-bytes.ts';
import { putNear } from '../../lib/pods/fast-path-pods.ts';
import { createVeth } from '../../lib/rtnetlink/veth.ts';
import { closeFd } from '../../lib/sys/file.ts';
import { inNetns, openNetns } from '../../lib/sys/netns.ts';
import type { Syscalls } from '../../lib/sys/syscalls.ts';
import { type Arrival, flowName, type OracleWorld } from './fastpath-oracle.ts';
import { holdNetns } from './held-netns.ts';
import { trackConnection } from './track-connection.ts';

const MTU = 1450;
const IPPROTO_TCP = 6;
const IPPROTO_UDP = 17;
const bridgeMac = parseMac('0a:58:0a:f4:01:01');
export const ownVtep = parseMac('02:0f:00:00:00:01');
const peerVtep = parseMac('02:0f:00:00:00:02');
const otherVtep = parseMac('02:0f:00:00:00:03');
/** The last pod's device is gone, but its entry is still there. */
const podMacs = [parseMac('02:0a:00:00:00:02'), parseMac('02:0a:00:00:00:03'), parseMac('02:0a:00:00:00:03')] as const;
export const GONE_DEVICE = 1_000_000;
const strange = parseMac('02:ee:ee:ee:ee:ee');

export const places: Record<
  Family,
  { own: IpPrefix; pods: readonly Ip[]; peers: readonly IpPrefix[]; others: readonly Ip[] }
> = {
  4: {
    own: parsePrefix('10.244.1.0/24'),
    pods: ['10.244.1.2', '10.244.1.3', '10.244.1.4'].map(parseIp),
    peers: [parsePrefix('10.244.2.0/24'), parsePrefix('10.244.3.0/24')],
    others: ['10.244.1.9', '10.244.1.1', '10.244.4.4', '192.0.2.1', '224.0.0.1'].map(parseIp),
  },
  6: {
    own: parsePrefix('fd00:1:0:1::/64'),
    pods: ['fd00:1:0:1::2', 'fd00:1:0:1::3', 'fd00:1:0:1::4'].map(parseIp),
    peers: [parsePrefix('fd00:1:0:2::/64'), parsePrefix('fd00:1:0:3::/64')],
    others: ['fd00:1:0:1::9', 'fe80::1', 'fd00:1:0:4::1', '2001:db8::1', 'ff02::1'].map(parseIp),
  },
};
const peerMacs = [peerVtep, otherVtep] as const;
/** One pod on each of the two peers. */
const remotes = (family: Family): Ip[] => places[family].peers.map(({ ip }) => ({ family, value: ip.value + 5n }));

/** The devices' indexes; the underlay's is 0 unless it is requested. */
export interface Devices {
  readonly pods: readonly [number, number];
  readonly tunnel: number;
  readonly underlay: number;
}

/** A namespace with the devices. */
export interface PacketNode {
  readonly netnsFd: number;
  readonly devices: Devices;
  remove(): void;
}

export async function startPacketNode(sys: Syscalls, underlayMac?: Mac): Promise<PacketNode> {
  const netns = await holdNetns();
  const netnsFd = openNetns(sys, netns.path);
  const devices = inNetns(sys, netnsFd, () => {
    const netlink = openNetlink(sys);
    const make = (name: string, mac?: Mac) =>
      createVeth(netlink, {
        name,
        up: true,
        ...(mac === undefined ? {} : { mac }),
        peer: { name: `${name}p` },
      }).link.index;
    const pods = [make('a'), make('b')] as const;
    const made = { pods, tunnel: make('t', ownVtep), underlay: underlayMac === undefined ? 0 : make('u', underlayMac) };
    netlink.close();
    return made;
  });
  return {
    netnsFd,
    devices,
    remove() {
      closeFd(sys, netnsFd);
      netns.remove();
    },
  };
}

/** Loads the programs and maps of a node with these families. The maps contain all pods and both peers. */
export function loadNode(
  sys: Syscalls,
  devices: Devices,
  families: readonly Family[],
  outer?: { readonly settings: OuterSettings; readonly peers: readonly Ip[] },
): { programs: LoadedPrograms; maps: NodeMaps } {
  const maps = createMaps(sys);
  writeNodeSettings(sys, maps, devices, families, outer?.settings);
  const programs = loadPrograms(sys, maps);
  for (const family of families) {
    for (const [index, ip] of places[family].pods.entries()) {
      const pod = { ifindex: devices.pods[index] ?? GONE_DEVICE, podMac: podMacs[index] ?? strange, bridgeMac };
      updateElement(sys, mapOf(maps, `pods${family}`), addressKey(ip), encodePod(pod));
      // A node of both families has other pods in their elements of this map, so that its programs look in the other one.
      const near = families.length > 1 ? { family, value: ip.value + 0x1000n } : ip;
      if (family === 4) putNear(sys, mapOf(maps, 'near4'), addressKey(near), encodePod(pod));
    }
    for (const [index, { ip }] of places[family].peers.entries()) {
      const address = outer?.peers[index];
      const peer = { peerMac: peerMacs[index] ?? strange, ownMac: ownVtep, ...(address && { outer: address }) };
      updateElement(sys, mapOf(maps, `peers${family}`), addressKey(ip), encodePeer(peer));
    }
  }
  return { programs, maps };
}

export function writeNodeSettings(
  sys: Syscalls,
  maps: NodeMaps,
  { tunnel }: Devices,
  families: readonly Family[],
  outer?: OuterSettings,
): void {
  const settings = families.map((family) => {
    const { own: subnet } = places[family];
    return [
      family,
      { subnet, tunnelIfindex: tunnel, mtu: MTU, ...(outer !== undefined && family === 4 && { outer }) },
    ] as const;
  });
  writeSettings(sys, mapOf(maps, 'settings'), new Map(settings));
}

/** Closes what `loadNode` made. */
export function closeNode(sys: Syscalls, programs: LoadedPrograms, maps: NodeMaps): void {
  for (const { fd } of maps.values()) closeFd(sys, fd);
  for (const fd of Object.values(programs)) closeFd(sys, fd);
}

export function mapOf(maps: NodeMaps, name: string): BpfMap {
  const map = maps.get(name);
  if (map === undefined) throw new Error(`no map ${name}`);
  return map;
}

/** The parts of a frame; the fields of its headers are correct unless stated otherwise. */
interface Parts {
  readonly family: Family;
  /** The version; for IPv4 with the length of its header. */
  readonly version: number;
  readonly to: Mac;
  readonly from: Mac;
  readonly source: Ip;
  readonly destination: Ip;
  readonly protocol: number;
  readonly ports: number;
  readonly ttl: number;
  readonly tos: number;
  readonly fragment: number;
  readonly id: number;
  readonly payloadBytes: number;
  readonly tcpWords: number;
}

function build(parts: Parts): Uint8Array {
  const { family } = parts;
  const headerBytes = family === 4 ? 20 : 40;
  const transportBytes = parts.protocol === IPPROTO_TCP ? 20 : 8;
  const frame = new Uint8Array(14 + headerBytes + transportBytes + parts.payloadBytes);
  const view = viewOf(frame);
  frame.set(macToBytes(parts.to), 0);
  frame.set(macToBytes(parts.from), 6);
  view.setUint16(12, family === 4 ? 0x0800 : 0x86dd);
  if (family === 4) {
    view.setUint16(14, (parts.version << 8) | parts.tos);
    view.setUint16(16, frame.length - 14);
    view.setUint16(18, parts.id);
    view.setUint16(20, parts.fragment);
    view.setUint16(22, (parts.ttl << 8) | parts.protocol);
    frame.set(ipToBytes(parts.source), 26);
    frame.set(ipToBytes(parts.destination), 30);
    view.setUint16(24, internetChecksum(frame.subarray(14, 34)));
  } else {
    view.setUint32(14, (parts.version << 28) | (parts.tos << 20) | parts.id);
    view.setUint16(18, frame.length - 54);
    view.setUint16(20, (parts.protocol << 8) | parts.ttl);
    frame.set(ipToBytes(parts.source), 22);
    frame.set(ipToBytes(parts.destination), 38);
  }
  view.setUint32(14 + headerBytes, parts.ports);
  if (parts.protocol === IPPROTO_TCP) frame[14 + headerBytes + 12] = parts.tcpWords << 4;
  return frame;
}

export const often = <T>(usual: readonly T[], rare: readonly T[]) =>
  fc.oneof({ weight: 8, arbitrary: fc.constantFrom(...usual) }, { weight: 1, arbitrary: fc.constantFrom(...rare) });

/** Frames that are correct in most fields, so that every check is reached, and wrong in a few. */
export function frames(family: Family, program: Arrival['program']): fc.Arbitrary<Uint8Array> {
  const { pods, others } = places[family];
  const [near, far] = [pods, remotes(family)];
  const parts = fc.record({
    family: fc.constant(family),
    version: family === 4 ? often([0x45], [0x46, 0x44, 0x65]) : often([6], [4]),
    to: program === 'from-pod' ? fc.constantFrom(bridgeMac, podMacs[1], strange) : often([ownVtep], [strange]),
    from: program === 'from-pod' ? fc.constant(podMacs[0]) : often([peerVtep], [otherVtep, strange]),
    source: program === 'from-pod' ? often(near.slice(0, 1), [...near, ...others]) : often(far, [...near, ...others]),
    destination: program === 'from-pod' ? often([...near.slice(1), ...far], [...near, ...others]) : often(near, others),
    protocol: often([IPPROTO_TCP, IPPROTO_UDP], [1, 4, 44, 58, 132]),
    // The second one has the ports of the tracked connections.
    ports: fc.constantFrom(0x1234_0050, 0x9999_0035, 0, 0xffff_ffff),
    ttl: often([2, 64, 255], [0, 1]),
    tos: fc.nat(255),
    fragment: often([0, 0x4000], [0x2000, 1, 0x1fff, 0x8000]),
    id: fc.nat(0xffff),
    payloadBytes: often([0, 1, 100, 1402, 1422], [1423, 1430, 1600, 2800]),
    tcpWords: often([5, 8], [0, 15]),
  });
  const spoiling = fc.oneof(
    { weight: 6, arbitrary: fc.constant(undefined) },
    { weight: 2, arbitrary: fc.tuple(fc.nat(63), fc.nat(255)) },
    { weight: 1, arbitrary: fc.record({ longer: fc.integer({ min: -40, max: 6 }) }) },
    { weight: 1, arbitrary: fc.record({ behindHeader: fc.nat(14) }) },
  );
  return fc.tuple(parts, spoiling).map(([made, spoiled]) => spoil(build(made), spoiled));
}

type Spoiling = undefined | [at: number, value: number] | { longer: number } | { behindHeader: number };

/** Sets one byte, cuts off or adds some bytes at the end, or leaves only a few after the IP header. */
function spoil(frame: Uint8Array, how: Spoiling): Uint8Array {
  if (how === undefined) return frame;
  if ('longer' in how) return resize(frame, frame.length + how.longer);
  if ('behindHeader' in how) return resize(frame, (frame[12] === 0x08 ? 34 : 54) + how.behindHeader);
  const [at, value] = how;
  if (at < frame.length) frame[at] = value;
  return resize(frame, frame.length);
}

/** The kernel refuses to run a program on a frame shorter than its Ethernet and IP headers. */
function resize(frame: Uint8Array, length: number): Uint8Array {
  const etherType = viewOf(frame).getUint16(12);
  const shortest = 14 + (etherType === 0x0800 ? 20 : etherType === 0x86dd ? 40 : 1);
  const resized = new Uint8Array(Math.max(shortest, length));
  resized.set(frame.subarray(0, resized.length));
  return resized;
}

const REPLY_OF_SERVICE = 0x9999_0035;

/** Tracks connections, so that some of the tested packets belong to one of their directions. */
export function track(sys: Syscalls, families: readonly Family[]): Set<string> {
  const tracked = new Set<string>();
  for (const family of families) {
    const [pod] = places[family].pods;
    const [remote] = remotes(family);
    if (pod === undefined || remote === undefined) throw new Error('no places');
    for (const protocol of [IPPROTO_TCP, IPPROTO_UDP]) {
      const ports = { sourcePort: REPLY_OF_SERVICE >>> 16, destinationPort: REPLY_OF_SERVICE & 0xffff };
      // A connection to a Service: the pod used another address, and the answer comes from the remote pod.
      const virtual = places[family].others[3] ?? pod;
      trackConnection(sys, {
        family,
        original: {
          source: pod,
          destination: virtual,
          protocol,
          sourcePort: ports.destinationPort,
          destinationPort: 80,
        },
        reply: { source: remote, destination: pod, protocol, ...ports },
      });
      tracked.add(flowName(protocol, formatIp(remote), formatIp(pod), REPLY_OF_SERVICE));
      // A connection of another pod that was seen from its beginning.
      trackConnection(sys, {
        family,
        original: { source: pod, destination: remote, protocol, ...ports },
        reply: {
          source: remote,
          destination: pod,
          protocol,
          sourcePort: ports.destinationPort,
          destinationPort: ports.sourcePort,
        },
      });
      tracked.add(flowName(protocol, formatIp(pod), formatIp(remote), REPLY_OF_SERVICE));
    }
  }
  return tracked;
}

export function worldOf(devices: Devices, families: readonly Family[], tracked: ReadonlySet<string>): OracleWorld {
  const pods = new Map(
    families.flatMap((family) =>
      places[family].pods.map((ip, index) => [
        formatIp(ip),
        { ifindex: devices.pods[index] ?? GONE_DEVICE, podMac: podMacs[index] ?? strange, bridgeMac },
      ]),
    ),
  );
  const peers = families.flatMap((family) =>
    places[family].peers.map((subnet, index) => ({ subnet, peerMac: peerMacs[index] ?? strange, ownMac: ownVtep })),
  );
  const own = families.map((family) => places[family].own);
  return { own, mtu: MTU, pods, peers, tracked, isPaused: false, devices: new Set(devices.pods) };
}

/** A frame that the program redirects. */
export function goodFrame(family: Family, program: Arrival['program']): Uint8Array {
  const [pod] = places[family].pods;
  const [remote] = remotes(family);
  if (pod === undefined || remote === undefined) throw new Error('no places');
  return build({
    family,
    version: family === 4 ? 0x45 : 6,
    to: program === 'from-pod' ? bridgeMac : ownVtep,
    from: program === 'from-pod' ? podMacs[0] : peerVtep,
    source: program === 'from-pod' ? pod : remote,
    destination: program === 'from-pod' ? remote : pod,
    protocol: IPPROTO_UDP,
    ports: 0x1234_0050,
    ttl: 64,
    tos: 0,
    fragment: 0,
    id: 1,
    payloadBytes: 10,
    tcpWords: 5,
  });
}

export const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
