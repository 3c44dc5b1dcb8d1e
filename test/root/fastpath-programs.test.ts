// Acceptance: the kernel's verifier accepts both programs for each set of families. On any packet they decide what the oracle says:
// what they redirect is what routing would have sent on, byte for byte, and what they leave to the kernel is unchanged.

import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readCounters } from '../../flanneld/fastpath/programs/counters.ts';
import { allowFor } from '../../flanneld/fastpath/programs/heartbeat.ts';
import { addressKey, encodePeer, encodePod } from '../../flanneld/fastpath/programs/layout.ts';
import {
  createMaps,
  type LoadedPrograms,
  loadPrograms,
  type NodeMaps,
} from '../../flanneld/fastpath/programs/node-programs.ts';
import { fastReasons, type Reason, reasons } from '../../flanneld/fastpath/programs/reasons.ts';
import { writeSettings } from '../../flanneld/fastpath/programs/settings.ts';
import type { BpfMap } from '../../lib/bpf/map.ts';
import { updateElement } from '../../lib/bpf/map.ts';
import { possibleProcessors } from '../../lib/bpf/processors.ts';
import { runProgram } from '../../lib/bpf/program.ts';
import { TC_ACT_REDIRECT, TC_ACT_UNSPEC } from '../../lib/bpf/skb.ts';
import { type Family, formatIp, type Ip, type IpPrefix, ipToBytes, parseIp, parsePrefix } from '../../lib/ip.ts';
import { type Mac, macToBytes, parseMac } from '../../lib/mac.ts';
import { openNetlink } from '../../lib/netlink/connection.ts';
import { internetChecksum, viewOf } from '../../lib/packet-bytes.ts';
import { createVeth } from '../../lib/rtnetlink/veth.ts';
import { closeFd } from '../../lib/sys/file.ts';
import { openKoffiSyscalls } from '../../lib/sys/koffi.ts';
import { inNetns, openNetns } from '../../lib/sys/netns.ts';
import { type Arrival, decide, flowName, type OracleWorld } from '../support/fastpath-oracle.ts';
import { type HeldNetns, holdNetns } from '../support/held-netns.ts';
import { trackConnection } from '../support/track-connection.ts';

const sys = openKoffiSyscalls();
const processors = possibleProcessors(sys);
const MTU = 1450;
const IPPROTO_TCP = 6;
const IPPROTO_UDP = 17;
const bridgeMac = parseMac('0a:58:0a:f4:01:01');
const ownVtep = parseMac('02:0f:00:00:00:01');
const peerVtep = parseMac('02:0f:00:00:00:02');
const otherVtep = parseMac('02:0f:00:00:00:03');
const podMacs = [parseMac('02:0a:00:00:00:02'), parseMac('02:0a:00:00:00:03')] as const;
const strange = parseMac('02:ee:ee:ee:ee:ee');

const places: Record<
  Family,
  { own: IpPrefix; pods: readonly Ip[]; peers: readonly IpPrefix[]; others: readonly Ip[] }
> = {
  4: {
    own: parsePrefix('10.244.1.0/24'),
    pods: [parseIp('10.244.1.2'), parseIp('10.244.1.3')],
    peers: [parsePrefix('10.244.2.0/24'), parsePrefix('10.244.3.0/24')],
    others: ['10.244.1.9', '10.244.1.1', '10.244.4.4', '192.0.2.1', '224.0.0.1'].map(parseIp),
  },
  6: {
    own: parsePrefix('fd00:1:0:1::/64'),
    pods: [parseIp('fd00:1:0:1::2'), parseIp('fd00:1:0:1::3')],
    peers: [parsePrefix('fd00:1:0:2::/64'), parsePrefix('fd00:1:0:3::/64')],
    others: ['fd00:1:0:1::9', 'fe80::1', 'fd00:1:0:4::1', '2001:db8::1', 'ff02::1'].map(parseIp),
  },
};
const peerMacs = [peerVtep, otherVtep] as const;
/** A pod on the first and on the second peer. */
const remotes = (family: Family): Ip[] => places[family].peers.map(({ ip }) => ({ family, value: ip.value + 5n }));

let netns: HeldNetns;
let netnsFd: number;
let devices: { readonly pods: readonly [number, number]; readonly tunnel: number; readonly tunnelMac: Mac };

beforeAll(async () => {
  netns = await holdNetns();
  netnsFd = openNetns(sys, netns.path);
  devices = inNetns(sys, netnsFd, () => {
    const netlink = openNetlink(sys);
    const make = (name: string, mac?: Mac) =>
      createVeth(netlink, { name, up: true, ...(mac === undefined ? {} : { mac }), peer: { name: `${name}p` } }).link
        .index;
    const made = { pods: [make('a'), make('b')] as const, tunnel: make('t', ownVtep), tunnelMac: ownVtep };
    netlink.close();
    return made;
  });
});
afterAll(() => {
  closeFd(sys, netnsFd);
  netns.remove();
});

/** Programs and maps of a node of these families, with both pods and both peers in them. */
function load(families: readonly Family[]): { programs: LoadedPrograms; maps: NodeMaps } {
  const maps = createMaps(sys);
  const settings = new Map(
    families.map((family) => [family, { subnet: places[family].own, tunnelIfindex: devices.tunnel, mtu: MTU }]),
  );
  writeSettings(sys, mapOf(maps, 'settings'), settings);
  const programs = loadPrograms(sys, maps);
  for (const family of families) {
    for (const [index, ip] of places[family].pods.entries()) {
      const pod = { ifindex: devices.pods[index] ?? 0, podMac: podMacs[index] ?? strange, bridgeMac };
      updateElement(sys, mapOf(maps, `pods${family}`), addressKey(ip), encodePod(pod));
    }
    for (const [index, { ip }] of places[family].peers.entries()) {
      const peer = { peerMac: peerMacs[index] ?? strange, ownMac: ownVtep };
      updateElement(sys, mapOf(maps, `peers${family}`), addressKey(ip), encodePeer(peer));
    }
  }
  return { programs, maps };
}

function mapOf(maps: NodeMaps, name: string): BpfMap {
  const map = maps.get(name);
  if (map === undefined) throw new Error(`no map ${name}`);
  return map;
}

/** What a frame is made of; the fields of its headers are right unless said otherwise. */
interface Parts {
  readonly family: Family;
  /** Of IPv4 with the length of its header. */
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

const often = <T>(usual: readonly T[], rare: readonly T[]) =>
  fc.oneof({ weight: 8, arbitrary: fc.constantFrom(...usual) }, { weight: 1, arbitrary: fc.constantFrom(...rare) });

/** Frames that are right in most things, so that every check is reached, and spoiled in a few. */
function frames(family: Family, program: Arrival['program']): fc.Arbitrary<Uint8Array> {
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
    // The second are those of the tracked connections.
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

/** Sets one byte, cuts off or adds some at the end, or leaves only some behind the IP header. */
function spoil(frame: Uint8Array, how: Spoiling): Uint8Array {
  if (how === undefined) return frame;
  if ('longer' in how) return resize(frame, frame.length + how.longer);
  if ('behindHeader' in how) return resize(frame, (frame[12] === 0x08 ? 34 : 54) + how.behindHeader);
  const [at, value] = how;
  if (at < frame.length) frame[at] = value;
  return resize(frame, frame.length);
}

/** The kernel runs a program on no frame that is shorter than its Ethernet and IP headers. */
function resize(frame: Uint8Array, length: number): Uint8Array {
  const etherType = viewOf(frame).getUint16(12);
  const shortest = 14 + (etherType === 0x0800 ? 20 : etherType === 0x86dd ? 40 : 1);
  const resized = new Uint8Array(Math.max(shortest, length));
  resized.set(frame.subarray(0, resized.length));
  return resized;
}

const REPLY_OF_SERVICE = 0x9999_0035;

/** Tracks connections whose one direction or the other is a packet that is tried here. */
function track(families: readonly Family[]): Set<string> {
  const tracked = new Set<string>();
  for (const family of families) {
    const [pod] = places[family].pods;
    const [remote] = remotes(family);
    if (pod === undefined || remote === undefined) throw new Error('no places');
    for (const protocol of [IPPROTO_TCP, IPPROTO_UDP]) {
      const ports = { sourcePort: REPLY_OF_SERVICE >>> 16, destinationPort: REPLY_OF_SERVICE & 0xffff };
      // A Service's: the pod asked another address, and the answer comes from the remote pod.
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
      // Another pod's packets were seen from the beginning.
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

function worldOf(families: readonly Family[], tracked: ReadonlySet<string>): OracleWorld {
  const pods = new Map(
    families.flatMap((family) =>
      places[family].pods.map((ip, index) => [
        formatIp(ip),
        { ifindex: devices.pods[index] ?? 0, podMac: podMacs[index] ?? strange, bridgeMac },
      ]),
    ),
  );
  const peers = families.flatMap((family) =>
    places[family].peers.map((subnet, index) => ({ subnet, peerMac: peerMacs[index] ?? strange, ownMac: ownVtep })),
  );
  return { own: families.map((family) => places[family].own), mtu: MTU, pods, peers, tracked, isPaused: false };
}

describe.for([{ families: [4] as Family[] }, { families: [6] as Family[] }, { families: [4, 6] as Family[] }])(
  'a node of families $families',
  ({ families }) => {
    let programs: LoadedPrograms;
    let maps: NodeMaps;
    let world: OracleWorld;

    beforeAll(() => {
      ({ programs, maps } = load(families));
      world = inNetns(sys, netnsFd, () => worldOf(families, track(families)));
    });
    afterAll(() => {
      for (const { fd } of maps.values()) closeFd(sys, fd);
      closeFd(sys, programs.fromPod);
      closeFd(sys, programs.fromTunnel);
    });

    test.for([{ program: 'from-pod' as const }, { program: 'from-tunnel' as const }])(
      'the program $program decides as the oracle, and changes what routing changes',
      ({ program }) => {
        allowFor(sys, mapOf(maps, 'state'), 600_000);
        const seen = new Set<Reason>();
        const arrivals = fc.record({
          frame: fc.constantFrom<Family>(4, 6).chain((family) => frames(family, program)),
          gsoSize: often([0], [1, 1000, 1398, 1410, 1411, 1500]),
        });
        let before = readCounters(sys, mapOf(maps, 'counters'), processors);
        fc.assert(
          fc.property(arrivals, ({ frame, gsoSize }) => {
            const ifindex = program === 'from-pod' ? devices.pods[0] : devices.tunnel;
            const arrival: Arrival = { program, frame, ifindex, deviceMac: devices.tunnelMac, gsoSize };
            const fd = program === 'from-pod' ? programs.fromPod : programs.fromTunnel;
            const result = inNetns(sys, netnsFd, () => runProgram(sys, fd, frame, { ifindex, gsoSize }));
            const after = readCounters(sys, mapOf(maps, 'counters'), processors);
            const counted = reasons.filter((reason) => after.get(reason) !== before.get(reason));
            before = after;
            const want = decide(world, arrival);
            seen.add(want.reason);
            const isFast = (fastReasons as readonly Reason[]).includes(want.reason);
            expect({ counted, verdict: result.verdict, frame: hex(result.packet) }).toEqual({
              counted: [want.reason],
              verdict: isFast ? TC_ACT_REDIRECT : TC_ACT_UNSPEC,
              frame: hex(want.frame),
            });
          }),
          { numRuns: 2500 },
        );
        expect([...seen].sort()).toEqual(reachable(program, families));
      },
    );

    test.for([{ program: 'from-pod' as const }, { program: 'from-tunnel' as const }])(
      'the program $program leaves every packet to the kernel when the agent’s time is over',
      ({ program }) => {
        const family = families[0] ?? 4;
        const frame = goodFrame(family, program);
        const ifindex = program === 'from-pod' ? devices.pods[0] : devices.tunnel;
        const fd = program === 'from-pod' ? programs.fromPod : programs.fromTunnel;
        const verdict = () => inNetns(sys, netnsFd, () => runProgram(sys, fd, frame, { ifindex }).verdict);
        allowFor(sys, mapOf(maps, 'state'), 600_000);
        expect(verdict()).toBe(TC_ACT_REDIRECT);
        allowFor(sys, mapOf(maps, 'state'), 0);
        expect(verdict()).toBe(TC_ACT_UNSPEC);
        allowFor(sys, mapOf(maps, 'state'), 1);
        const end = Date.now() + 2;
        while (Date.now() <= end);
        expect(verdict()).toBe(TC_ACT_UNSPEC);
      },
    );
  },
);

function goodFrame(family: Family, program: Arrival['program']): Uint8Array {
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

/** Each reason that frames can have here. A tag is taken off before a program sees it, and memory is never short enough. */
function reachable(program: Arrival['program'], families: readonly Family[]): Reason[] {
  const never: Reason[] = ['vlan', 'paused', 'conntrack', 'unwritable'];
  const ofIpv4: Reason[] = families.includes(4) ? [] : ['fragment', 'checksum'];
  const ofOther: Reason[] =
    program === 'from-pod' ? ['from-peer', 'sender'] : ['to-peer', 'to-pod', 'source', 'not-bridged', 'same-pod'];
  return reasons.filter((reason) => ![...never, ...ofIpv4, ...ofOther].includes(reason)).sort();
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
