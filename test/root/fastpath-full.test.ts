// Tests the mode `full`: for any packet the programs that encapsulate and decapsulate decide what the oracle says. They emit what the
// tunnel's device would emit, except for the outer UDP checksum; packets that they leave are unchanged.

import { writeFileSync } from 'node:fs';
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { loadConntrack } from '../../flanneld/fastpath/load.ts';
import { readCounters } from '../../flanneld/fastpath/programs/counters.ts';
import { allowFor } from '../../flanneld/fastpath/programs/deadline.ts';
import type { LoadedPrograms, NodeMaps } from '../../flanneld/fastpath/programs/node-programs.ts';
import { type Reason, reasons } from '../../flanneld/fastpath/programs/reasons.ts';
import { possibleProcessors } from '../../lib/bpf/processors.ts';
import { runProgram } from '../../lib/bpf/program.ts';
import { TC_ACT_REDIRECT, TC_ACT_UNSPEC } from '../../lib/bpf/skb.ts';
import { parseIp, parsePrefix } from '../../lib/ip.ts';
import { parseMac } from '../../lib/mac.ts';
import { openNetlink } from '../../lib/netlink/connection.ts';
import { internetChecksum, viewOf } from '../../lib/packet-bytes.ts';
import { addAddress } from '../../lib/rtnetlink/address.ts';
import { setLink } from '../../lib/rtnetlink/link.ts';
import { addRoute, deleteRoute } from '../../lib/rtnetlink/route.ts';
import { RTN_UNREACHABLE } from '../../lib/rtnetlink/rtnetlink-constants.ts';
import { openKoffiSyscalls } from '../../lib/sys/koffi.ts';
import { inNetns } from '../../lib/sys/netns.ts';
import { hasConntrackFunctions, needConntrackFunctions } from '../support/conntrack-functions.ts';
import {
  decideFromPod,
  decideFromUnderlay,
  type FullDecision,
  type FullWorld,
  wrapFrame,
} from '../support/fastpath-full-oracle.ts';
import type { Arrival } from '../support/fastpath-oracle.ts';
import {
  closeNode,
  frames,
  goodFrame,
  hex,
  loadNode,
  mapOf,
  often,
  ownVtep,
  type PacketNode,
  places,
  startPacketNode,
  track,
  worldOf,
} from '../support/fastpath-world.ts';

const sys = openKoffiSyscalls();
const processors = possibleProcessors(sys);
const RUNS = 4000;
const KEEP_WAY_MS = 10;
const underlayMac = parseMac('02:77:00:00:00:01');
const LOCAL = '192.168.77.1';
const GATEWAY = '192.168.77.254';
/** The second peer is behind a router. */
const OUTERS = ['192.168.77.2', '192.168.88.3'] as const;
/** Less than the tunnel's packets of full size need. */
const UNDERLAY_MTU = 1480;
const sourcePorts = { first: 40_000, count: 1000 };

let node: PacketNode;
let programs: LoadedPrograms;
let maps: NodeMaps;
let world: FullWorld;
beforeAll(async () => {
  if (!hasConntrackFunctions) return;
  loadConntrack(sys);
  node = await startPacketNode(sys, underlayMac);
  const { devices, netnsFd } = node;
  const tunnel = { local: LOCAL, vni: 7, port: 8472, ttl: 61 };
  inNetns(sys, netnsFd, () => {
    const netlink = openNetlink(sys);
    const underlay = devices.underlay;
    netlink.run(setLink({ index: underlay, mtu: UNDERLAY_MTU }));
    netlink.run(addAddress({ index: underlay, ip: parseIp(LOCAL), length: 24 }));
    const far = {
      destination: parsePrefix(`${OUTERS[1]}/32`),
      gateway: parseIp(GATEWAY),
      oif: underlay,
    };
    netlink.run(addRoute(far));
    netlink.close();
    writeFileSync('/proc/sys/net/ipv4/ip_forward', '1');
  });
  const settings = {
    ...{
      underlayIfindex: devices.underlay,
      local: parseIp(LOCAL),
      ownMac: ownVtep,
      sourcePorts,
      keepWayNs: KEEP_WAY_MS * 1_000_000,
    },
    ...{ vni: tunnel.vni, port: tunnel.port, ttl: tunnel.ttl },
  };
  ({ programs, maps } = loadNode(sys, devices, [4, 6], { settings, peers: OUTERS.map(parseIp) }));
  const tracked = inNetns(sys, netnsFd, () => track(sys, [4, 6]));
  const outers = places[4].peers.map((subnet, index) => ({
    subnet,
    address: OUTERS[index] ?? '',
    mtu: UNDERLAY_MTU,
  }));
  world = { ...worldOf(devices, [4, 6], tracked), ...tunnel, underlayMac, ownMac: ownVtep, outers };
  allowFor(sys, mapOf(maps, 'state'), 600_000);
});
afterAll(() => {
  if (!hasConntrackFunctions) return;
  closeNode(sys, programs, maps);
  node.remove();
});
beforeEach(needConntrackFunctions);

interface Outcome {
  readonly counted: readonly Reason[];
  readonly verdict: number;
  readonly frame: Uint8Array;
}

function run(fd: number, { frame, ifindex, gsoSize }: Arrival): Outcome {
  const read = () => readCounters(sys, mapOf(maps, 'counters'), processors);
  const before = read();
  const { verdict, packet } = inNetns(sys, node.netnsFd, () => runProgram(sys, fd, frame, { ifindex, gsoSize }));
  const after = read();
  return { counted: reasons.filter((reason) => after.get(reason) !== before.get(reason)), verdict, frame: packet };
}

function expectAsSaid(outcome: Outcome, want: FullDecision): void {
  const shown = ({ counted, verdict, frame }: Outcome) => ({ counted, verdict, frame: hex(frame) });
  const verdict = want.isRedirected ? TC_ACT_REDIRECT : TC_ACT_UNSPEC;
  expect(shown(outcome)).toEqual(shown({ counted: [...want.reasons].sort(byNumber), verdict, frame: want.frame }));
}

const byNumber = (a: Reason, b: Reason): number => reasons.indexOf(a) - reasons.indexOf(b);

/** The outcome without the parts that cannot be predicted, after checking that these are valid. */
function withoutChance(outcome: Outcome, ports: Map<string, number>): Outcome {
  if (!outcome.counted.includes('encapsulated')) return outcome;
  const frame = outcome.frame.slice();
  const view = viewOf(frame);
  expect(internetChecksum(frame.subarray(14, 34))).toBe(0);
  const port = view.getUint16(34);
  expect(port).toBeGreaterThanOrEqual(sourcePorts.first);
  expect(port).toBeLessThan(sourcePorts.first + sourcePorts.count);
  // A flow keeps its port.
  const flow = `${frame[73]} ${hex(frame.subarray(76, 88))}`;
  expect(ports.get(flow) ?? port).toBe(port);
  ports.set(flow, port);
  for (const at of [18, 24, 34]) frame.fill(0, at, at + 2);
  return { ...outcome, frame };
}

/**
 * Bytes of a segment, or 0. A third of the packets have segments: no other reason than `no-room` requires so many correct fields before it.
 */
const gsoSizes = fc.oneof(
  { weight: 2, arbitrary: fc.constant(0) },
  { weight: 1, arbitrary: fc.constantFrom(1, 1000, 1150, 1398, 1411) },
);
/** A UDP checksum, or none. */
const withChecksum = (frame: Uint8Array, checksum: number, at: number): Uint8Array => {
  if (frame[at - 17] === 17 && frame.length >= at + 2) viewOf(frame).setUint16(at, checksum);
  return frame;
};

test('the program at a pod encapsulates as the oracle, or redirects as without it', () => {
  const seen = new Set<Reason>();
  const ports = new Map<string, number>();
  const arrivals = fc.record({
    frame: fc.constantFrom(4 as const, 4 as const, 6 as const).chain((family) => frames(family, 'from-pod')),
    checksum: often([0x1234], [0]),
    gsoSize: gsoSizes,
  });
  fc.assert(
    fc.property(arrivals, ({ frame, checksum, gsoSize }) => {
      withChecksum(frame, checksum, 40);
      const arrival: Arrival = {
        program: 'from-pod',
        frame,
        ifindex: node.devices.pods[0],
        deviceMac: ownVtep,
        gsoSize,
      };
      const want = decideFromPod(world, arrival);
      for (const reason of want.reasons) seen.add(reason);
      expectAsSaid(withoutChance(run(programs.fromPod, arrival), ports), want);
    }),
    { numRuns: RUNS },
  );
  expect([...seen]).toEqual(
    expect.arrayContaining(['encapsulated', 'to-peer', 'to-pod', 'no-checksum', 'no-route', 'no-room', 'tracked']),
  );
});

test('the program at the external interface decapsulates as the oracle, and leaves all else as it is', () => {
  const seen = new Set<Reason>();
  const arrivals = fc.record({
    inner: fc
      .constantFrom(4 as const, 4 as const, 4 as const, 6 as const)
      .chain((family) => frames(family, 'from-tunnel')),
    checksum: often([0x1234], [0]),
    source: often([OUTERS[0]], [OUTERS[1], '192.168.77.9']),
    ecn: often(['same', 'congested'], ['other']),
    id: fc.nat(0xffff),
    spoiled: often([undefined, undefined], [{ at: 0, value: 0 }]).chain((none) =>
      none === undefined
        ? fc.constant(undefined)
        : fc.record({ at: fc.nat(63), value: fc.nat(255), repair: fc.boolean() }),
    ),
    gsoSize: gsoSizes,
  });
  fc.assert(
    fc.property(arrivals, ({ inner, checksum, source, ecn, id, spoiled, gsoSize }) => {
      withChecksum(inner, checksum, 40);
      const own = (inner[15] ?? 0) & 3;
      const tos = ecn === 'same' ? own : ecn === 'congested' ? 3 : own ^ 1;
      const frame = wrapFrame(world, inner, { source, tos, id });
      if (spoiled !== undefined) spoil(frame, spoiled);
      const arrival: Arrival = {
        program: 'from-tunnel',
        frame,
        ifindex: node.devices.underlay,
        deviceMac: underlayMac,
        gsoSize,
      };
      const want = decideFromUnderlay(world, arrival);
      for (const reason of want.reasons) seen.add(reason);
      expectAsSaid(run(programs.fromUnderlay, arrival), want);
    }),
    { numRuns: RUNS },
  );
  expect([...seen].sort()).toEqual(['decapsulated', 'ecn', 'inner', 'no-checksum', 'no-room', 'outer', 'outer-sender']);
});

/** Sets a byte of the outer headers, and may correct their checksum, so that the other checks are reached. */
function spoil(frame: Uint8Array, { at, value, repair }: { at: number; value: number; repair: boolean }): void {
  frame[at] = value;
  if (!repair) return;
  frame.fill(0, 24, 26);
  viewOf(frame).setUint16(24, internetChecksum(frame.subarray(14, 34)));
}

test('both leave every packet to the tunnel’s device when the agent’s time is over, and when they have no settings', () => {
  const pod: Arrival = {
    ...{ program: 'from-pod', ifindex: node.devices.pods[0], deviceMac: ownVtep, gsoSize: 0 },
    frame: withChecksum(goodFrame(4, 'from-pod'), 1, 40),
  };
  const inner = withChecksum(goodFrame(4, 'from-tunnel'), 1, 40);
  const wire: Arrival = {
    ...{ program: 'from-tunnel', ifindex: node.devices.underlay, deviceMac: underlayMac, gsoSize: 0 },
    frame: wrapFrame(world, inner, { source: OUTERS[0], tos: 0, id: 1 }),
  };
  expect(run(programs.fromPod, pod).counted).toEqual(['encapsulated']);
  expect(run(programs.fromUnderlay, wire).counted).toEqual(['decapsulated']);
  allowFor(sys, mapOf(maps, 'state'), 0);
  expect(run(programs.fromPod, pod).verdict).toBe(TC_ACT_UNSPEC);
  expectAsSaid(run(programs.fromUnderlay, wire), { reasons: [], isRedirected: false, frame: wire.frame });
  allowFor(sys, mapOf(maps, 'state'), 600_000);
});

test('the program follows the kernel’s routes: soon without one, and at once with one again', () => {
  const frame = withChecksum(goodFrame(4, 'from-pod'), 1, 40);
  const pod: Arrival = { program: 'from-pod', frame, ifindex: node.devices.pods[0], deviceMac: ownVtep, gsoSize: 0 };
  const change = (make: typeof addRoute): void =>
    inNetns(sys, node.netnsFd, () => {
      const netlink = openNetlink(sys);
      netlink.run(make({ destination: parsePrefix(`${OUTERS[0]}/32`), type: RTN_UNREACHABLE }));
      netlink.close();
    });
  expect(run(programs.fromPod, pod).counted).toEqual(['encapsulated']);
  change(addRoute);
  const end = performance.now() + 4 * KEEP_WAY_MS;
  while (performance.now() < end);
  expect([...run(programs.fromPod, pod).counted].sort()).toEqual(['no-route', 'to-peer']);
  change(deleteRoute);
  expect(run(programs.fromPod, pod).counted).toEqual(['encapsulated']);
});
