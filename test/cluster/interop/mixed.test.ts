// flannel's own agent and ours in one cluster: every pod reaches every other, in each family.

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { startFlow } from '../../faults/probe/flow.ts';
import type { FlowEnd } from '../../faults/probe/spec.ts';
import type { LabPod } from '../../lab/lab-pod.ts';
import { failed, pingMatrix } from '../../lab/matrix.ts';
import { waitUntil } from '../../lab/processes.ts';
import { kernelStateOf } from '../../lab/support/vxlan-state.ts';
import { expectHealthy } from '../../support/doctor.ts';
import { counted, fastPathOf, since } from '../../support/fast-path.ts';
import { needs } from '../../support/needs.ts';
import { Cluster, type ClusterSpec } from './cluster.ts';
import { missingPrograms } from './programs.ts';

const env = process.env;
const START_MS = 180_000;
const LOOK_MS = 30_000;

const clusters: readonly { name: string; spec: Omit<ClusterSpec, 'nodes'> }[] = [
  { name: 'IPv4, flannel with iptables', spec: {} },
  { name: 'IPv4, flannel with nftables', spec: { nftables: true } },
  { name: 'dual-stack, flannel with iptables', spec: { isDual: true } },
  { name: 'dual-stack, flannel with nftables', spec: { isDual: true, nftables: true } },
  { name: 'dual-stack, fast path', spec: { isDual: true, nftables: true, fastPath: 'full' } },
];

describe.for(clusters)('one node with flannel, two with Weft: $name', ({ spec }) => {
  const missing = missingPrograms(env);
  let cluster: Cluster | undefined;
  beforeAll(async () => {
    if (missing === undefined) cluster = await Cluster.start({ nodes: ['flannel', 'weft', 'weft'], ...spec }, env);
  }, START_MS);
  afterAll(async () => await cluster?.stop(), START_MS);
  beforeEach(() => needs.machine(missing === undefined, missing ?? ''));

  function started(): Cluster {
    if (cluster === undefined) throw new Error('the cluster did not start');
    return cluster;
  }

  test('all pods reach each other, in every family', async () => {
    const { lab } = started();
    const families = spec.isDual === true ? [0, 1] : [0];
    for (const at of families) {
      const pingers = lab.pods.map((pod) => {
        return { name: pod.name, ip: pod.ips[at] ?? '', node: pod.node, ping: pod.ping.bind(pod) };
      });
      const pairs = await pingMatrix(pingers);
      expect(pairs).toHaveLength(6);
      expect(failed(pairs)).toEqual([]);
    }
  });

  test('pods and nodes reach each other', async () => {
    const { lab } = started();
    for (const node of lab.nodes) expect(failed(await node.ping(lab.pods.map(({ ip }) => ip)))).toEqual([]);
    for (const pod of lab.pods) {
      expect(failed(await pod.ping(lab.nodes.map(({ address }) => address)))).toEqual([]);
    }
  });

  test.runIf(spec.fastPath !== undefined)('a node with the fast path and one with flannel lose no packet', async () => {
    const { lab } = started();
    const [flannel, weft] = [lab.node('node-1'), lab.node('node-2')];
    const [there, here] = [flannel.pods[0], weft.pods[0]] as [LabPod, LabPod];
    const isWhole = async (): Promise<boolean> => {
      const { on, notFull, addresses, peers } = await fastPathOf(weft);
      return on && notFull === undefined && peers === 4 && here.ips.every((ip) => addresses.includes(ip));
    };
    await waitUntil(isWhole, LOOK_MS, 'the fast path');
    // IPv6 leaves by the tunnel's device.
    for (const [at, leaving, arriving] of [
      [0, 'encapsulated', 'decapsulated'],
      [1, 'to-peer', 'from-peer'],
    ] as const) {
      const ends = [here, there].map(({ netnsFromOutside, ips }) => ({ netnsFromOutside, ip: ips[at] ?? '' }));
      const [ours, theirs] = ends as [FlowEnd, FlowEnd];
      for (const { from, to, reason } of [
        { from: ours, to: theirs, reason: leaving },
        { from: theirs, to: ours, reason: arriving },
      ]) {
        const before = counted(weft);
        const flow = await startFlow(from, to, { freshPorts: true });
        await flow.untilInRow(500, LOOK_MS);
        const { sent, lost } = await flow.stop();
        expect(lost).toBe(0);
        expect(since(weft, before, reason)).toBeGreaterThanOrEqual(sent);
      }
    }
  });

  test('the doctor finds no error on the nodes with Weft, with flannel as their peer', async () => {
    for (const node of started().lab.nodes.slice(1)) await expectHealthy(node);
  });

  test('both agents write the same annotations, apart from each node’s own values', async () => {
    const cluster = started();
    const nodes = await Promise.all(cluster.lab.nodes.map((node) => cluster.annotations(node)));
    const mask = (text: string): string => text.replace(/([0-9a-f]{2}:){5}[0-9a-f]{2}/, 'MAC');
    const [flannel, ...ours] = nodes.map((all) => {
      const own = { ...all, 'public-ip': '', 'public-ipv6': '' };
      return Object.fromEntries(Object.entries(own).map(([key, value]) => [key, mask(value)]));
    });
    for (const each of ours) expect(each).toEqual(flannel);
  });

  test('the devices differ only in address and MAC', async () => {
    const { lab } = started();
    const [flannel, ...ours] = await Promise.all(lab.nodes.map(async (node) => (await kernelStateOf(node)).device));
    for (const device of ours) expect(device).toEqual(flannel);
  });
});
