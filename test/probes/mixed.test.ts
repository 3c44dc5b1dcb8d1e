// Probes between our agent and flannel's, dual-stack: a plain node answers by its kernel, and is never reported because it lacks our agent.

import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { Cluster } from '../cluster/interop/cluster.ts';
import { missingPrograms } from '../cluster/interop/programs.ts';
import type { LabNode } from '../lab/lab-node.ts';
import { needs } from '../support/needs.ts';
import { becomesHealthy, dropInNetwork, finds, reportOf, undoInNetwork } from './probed-lab.ts';

const TEST_MS = 400_000;
/** Two peers in two families. */
const TARGETS = 4;

const missing = missingPrograms(process.env);
let cluster: Cluster;
let plain: LabNode;
let two: LabNode;
let three: LabNode;

beforeAll(async () => {
  if (missing !== undefined) return;
  cluster = await Cluster.start({ nodes: ['flannel', 'weft', 'weft'], isDual: true }, process.env);
  [plain, two, three] = [cluster.lab.node('node-1'), cluster.lab.node('node-2'), cluster.lab.node('node-3')];
}, TEST_MS);
afterAll(async () => await cluster?.stop(), TEST_MS);
beforeEach(async () => {
  needs.machine(missing === undefined, missing ?? '');
  await becomesHealthy([two, three], TARGETS);
}, TEST_MS);
afterEach(() => {
  if (missing === undefined) undoInNetwork(cluster.lab);
}, TEST_MS);

/** The same rule in both directions between two nodes. */
function between(a: LabNode, b: LabNode, family: 4 | 6, what: string): { from: LabNode; what: string }[] {
  const protocol = family === 4 ? 'ip' : 'ip6';
  const to = ({ index, address }: LabNode): string => (family === 4 ? address : `fd50::${10 + index}`);
  return [
    { from: a, what: `${protocol} daddr ${to(b)} ${what}` },
    { from: b, what: `${protocol} daddr ${to(a)} ${what}` },
  ];
}

test(
  'a plain flannel node is reachable in both families, with a round trip, and nothing is found',
  async () => {
    const { probes, findings } = await reportOf(two);
    expect(findings).toEqual([]);
    expect(probes?.peers.filter(({ peer }) => peer === 'node-1')).toMatchObject([
      { state: 'reachable', rttMs: expect.any(Number) },
      { state: 'reachable', rttMs: expect.any(Number) },
    ]);
  },
  TEST_MS,
);

test(
  'the tunnel’s port is blocked between it and one of ours: that one names it, the other finds nothing',
  async () => {
    dropInNetwork(cluster.lab, between(plain, two, 4, 'udp dport 8472 drop'));
    const found = await finds(two, 'tunnel-port-blocked', 'node-1');
    expect(found.fix).toContain('if the port is open, compare ip -d link show flannel.1 on node-1 with VNI 1 and MAC');
    expect((await reportOf(three)).findings).toEqual([]);
  },
  TEST_MS,
);

test(
  'only IPv6 is blocked: IPv4 stays reachable',
  async () => {
    dropInNetwork(cluster.lab, between(plain, two, 6, 'udp dport 8472 drop'));
    await finds(two, 'tunnel-port-blocked', 'node-1');
    const { probes } = await reportOf(two);
    const states = probes?.peers.filter(({ peer }) => peer === 'node-1').map(({ family, state }) => [family, state]);
    expect(states?.sort()).toEqual([
      [4, 'reachable'],
      [6, 'unreachable'],
    ]);
  },
  TEST_MS,
);

test.for([4, 6] as const)(
  'large packets over IPv%i are lost on the way to it',
  { timeout: TEST_MS },
  async (family) => {
    dropInNetwork(cluster.lab, between(plain, two, family, 'udp dport 8472 meta length > 1400 drop'));
    const found = await finds(two, 'path-mtu-too-small', 'node-1');
    expect(found.evidence).toMatch(/^flannel(-v6)?\.1: UDP packets with DF are answered up to 13\d\d bytes/);
    expect((await reportOf(three)).findings).toEqual([]);
  },
);
