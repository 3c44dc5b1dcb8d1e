// The kernel's verifier accepts both programs for each set of families. For any packet they decide what the oracle says: packets that they
// redirect are byte for byte what routing would have sent on, and packets that they leave to the kernel are unchanged.

import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { loadConntrack } from '../../flanneld/fastpath/load.ts';
import { readCounters } from '../../flanneld/fastpath/programs/counters.ts';
import { allowFor } from '../../flanneld/fastpath/programs/deadline.ts';
import { addressKey, stateValue } from '../../flanneld/fastpath/programs/layout.ts';
import type { LoadedPrograms, NodeMaps } from '../../flanneld/fastpath/programs/node-programs.ts';
import { fastReasons, type Reason, reasons, tunnelReasons } from '../../flanneld/fastpath/programs/reasons.ts';
import { deleteElement, lookupElement, updateElement } from '../../lib/bpf/map.ts';
import { possibleProcessors } from '../../lib/bpf/processors.ts';
import { runProgram } from '../../lib/bpf/program.ts';
import { TC_ACT_REDIRECT, TC_ACT_UNSPEC } from '../../lib/bpf/skb.ts';
import type { Family, Ip } from '../../lib/ip.ts';
import { removeNear } from '../../lib/pods/fast-path-pods.ts';
import { openKoffiSyscalls } from '../../lib/sys/koffi.ts';
import { inNetns } from '../../lib/sys/netns.ts';
import { hasConntrackFunctions, needConntrackFunctions } from '../support/conntrack-functions.ts';
import { type Arrival, decide, type OracleWorld } from '../support/fastpath-oracle.ts';
import {
  closeNode,
  frames,
  GONE_DEVICE,
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
  writeNodeSettings,
} from '../support/fastpath-world.ts';

const sys = openKoffiSyscalls();
const processors = possibleProcessors(sys);

let node: PacketNode;
beforeAll(async () => {
  if (!hasConntrackFunctions) return;
  loadConntrack(sys);
  node = await startPacketNode(sys);
});
afterAll(() => node?.remove());
beforeEach(needConntrackFunctions);

describe.for([{ families: [4] as Family[] }, { families: [6] as Family[] }, { families: [4, 6] as Family[] }])(
  'a node of families $families',
  ({ families }) => {
    let programs: LoadedPrograms;
    let maps: NodeMaps;
    let world: OracleWorld;

    beforeAll(() => {
      if (!hasConntrackFunctions) return;
      ({ programs, maps } = loadNode(sys, node.devices, families));
      const tracked = inNetns(sys, node.netnsFd, () => track(sys, families));
      world = worldOf(node.devices, families, tracked);
    });
    afterAll(() => {
      if (hasConntrackFunctions) closeNode(sys, programs, maps);
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
            const ifindex = program === 'from-pod' ? node.devices.pods[0] : node.devices.tunnel;
            const arrival: Arrival = { program, frame, ifindex, deviceMac: ownVtep, gsoSize };
            const fd = program === 'from-pod' ? programs.fromPod : programs.fromTunnel;
            const result = inNetns(sys, node.netnsFd, () => runProgram(sys, fd, frame, { ifindex, gsoSize }));
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
          { numRuns: 5000 },
        );
        expect([...seen].sort()).toEqual(reachable(program, families));
      },
    );

    test.for([{ program: 'from-pod' as const }, { program: 'from-tunnel' as const }])(
      'the program $program leaves every packet to the kernel when the agent’s time is over',
      ({ program }) => {
        const family = families[0] ?? 4;
        const frame = goodFrame(family, program);
        const ifindex = program === 'from-pod' ? node.devices.pods[0] : node.devices.tunnel;
        const fd = program === 'from-pod' ? programs.fromPod : programs.fromTunnel;
        const verdict = () => inNetns(sys, node.netnsFd, () => runProgram(sys, fd, frame, { ifindex }).verdict);
        allowFor(sys, mapOf(maps, 'state'), 600_000);
        expect(verdict()).toBe(TC_ACT_REDIRECT);
        allowFor(sys, mapOf(maps, 'state'), 0);
        expect(verdict()).toBe(TC_ACT_UNSPEC);
        // As a program on another processor leaves it that was about to write when the agent stopped all.
        const late = new Uint8Array(stateValue.bytes);
        new DataView(late.buffer).setBigUint64(stateValue.askAgain, 1n << 62n, true);
        updateElement(sys, mapOf(maps, 'state'), new Uint8Array(4), late);
        expect(verdict()).toBe(TC_ACT_UNSPEC);
        // The programs' clock goes on with the kernel's ticks.
        const wait = (ms: number) => {
          for (const end = Date.now() + ms; Date.now() <= end; );
        };
        allowFor(sys, mapOf(maps, 'state'), 1);
        wait(20);
        expect(verdict()).toBe(TC_ACT_UNSPEC);
        // A program that has once asked the clock notices the end, too.
        allowFor(sys, mapOf(maps, 'state'), 200);
        expect(verdict()).toBe(TC_ACT_REDIRECT);
        expect(verdict()).toBe(TC_ACT_REDIRECT);
        wait(220);
        expect(verdict()).toBe(TC_ACT_UNSPEC);
      },
    );

    test('programs ask the clock once for each time that the agent sets, and again after some ticks', () => {
      const frame = goodFrame(families[0] ?? 4, 'from-pod');
      const ifindex = node.devices.pods[0];
      const stateAfterRun = () => {
        inNetns(sys, node.netnsFd, () => runProgram(sys, programs.fromPod, frame, { ifindex }));
        const value = lookupElement(sys, mapOf(maps, 'state'), new Uint8Array(4)) ?? new Uint8Array();
        const view = new DataView(value.buffer);
        const [until, asked, askAgain] = [stateValue.until, stateValue.asked, stateValue.askAgain].map((at) =>
          view.getBigUint64(at, true),
        );
        return { until, asked, askAgain };
      };
      allowFor(sys, mapOf(maps, 'state'), 600_000);
      const first = stateAfterRun();
      expect(first.asked).toBe(first.until);
      expect(stateAfterRun()).toEqual(first);
      allowFor(sys, mapOf(maps, 'state'), 300_000);
      const sooner = stateAfterRun();
      expect(sooner.asked).toBe(sooner.until);
      expect(sooner.askAgain).toBeLessThan(first.askAgain ?? 0n);
      allowFor(sys, mapOf(maps, 'state'), 0);
      expect(stateAfterRun()).toEqual({ until: 0n, asked: 0n, askAgain: 0n });
    });

    test('the program from-pod leaves packets to the kernel when the tunnel’s device is gone', () => {
      const [family = 4] = families;
      const frame = goodFrame(family, 'from-pod');
      const run = () =>
        inNetns(sys, node.netnsFd, () => runProgram(sys, programs.fromPod, frame, { ifindex: node.devices.pods[0] }));
      allowFor(sys, mapOf(maps, 'state'), 600_000);
      expect(run().verdict).toBe(TC_ACT_REDIRECT);
      writeNodeSettings(sys, maps, { ...node.devices, tunnel: GONE_DEVICE }, families);
      const { verdict, packet } = run();
      expect({ verdict, frame: hex(packet) }).toEqual({ verdict: TC_ACT_UNSPEC, frame: hex(frame) });
    });
  },
);

test('a pod with IPv4 is found in either map of pods', () => {
  const { programs, maps } = loadNode(sys, node.devices, [4]);
  onTestFinished(() => closeNode(sys, programs, maps));
  const [pods, near] = [mapOf(maps, 'pods4'), mapOf(maps, 'near4')];
  const address = addressKey(places[4].pods[0] as Ip);
  const value = lookupElement(sys, pods, address) ?? new Uint8Array();
  const [ifindex] = node.devices.pods;
  const verdict = () =>
    inNetns(sys, node.netnsFd, () => runProgram(sys, programs.fromPod, goodFrame(4, 'from-pod'), { ifindex }).verdict);
  allowFor(sys, mapOf(maps, 'state'), 600_000);
  deleteElement(sys, pods, address);
  expect(verdict()).toBe(TC_ACT_REDIRECT);
  removeNear(sys, near, address);
  expect(verdict()).toBe(TC_ACT_UNSPEC);
  updateElement(sys, pods, address, value);
  expect(verdict()).toBe(TC_ACT_REDIRECT);
});

/** Each reason that frames can have here. A VLAN tag is removed before a program sees it, and memory is never short enough. */
function reachable(program: Arrival['program'], families: readonly Family[]): Reason[] {
  const never: Reason[] = [
    'vlan',
    'paused',
    'conntrack',
    'unwritable',
    'encapsulated',
    'decapsulated',
    ...tunnelReasons,
  ];
  const ofIpv4: Reason[] = families.includes(4) ? [] : ['fragment', 'checksum'];
  const ofOther: Reason[] =
    program === 'from-pod' ? ['from-peer', 'sender'] : ['to-peer', 'to-pod', 'source', 'not-bridged', 'same-pod'];
  return reasons.filter((reason) => ![...never, ...ofIpv4, ...ofOther].includes(reason)).sort();
}
