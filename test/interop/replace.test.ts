// Nodes change from flannel to Weft and back, one at a time, under a flow of 1000 packets a second: what stays, what is
// taken over, and what is lost. The losses are printed.

import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { KernelMonitor, removals } from '../faults/kernel-monitor.ts';
import { SUBNET_FILE } from '../lab/contract.ts';
import { UNDERLAY_GATEWAY } from '../lab/host/underlay.ts';
import type { LabNode } from '../lab/lab-node.ts';
import type { LabPod } from '../lab/lab-pod.ts';
import { failed } from '../lab/matrix.ts';
import { kernelStateOf } from '../lab/support/vxlan-state.ts';
import { startFlow } from '../probe/flow.ts';
import type { FlowResult } from '../probe/spec.ts';
import { needs } from '../support/needs.ts';
import { Cluster, type ClusterSpec, type Program } from './cluster.ts';
import { missingPrograms } from './programs.ts';

const env = process.env;
const START_MS = 180_000;
const CHANGE_MS = 120_000;
/** What a program does after it calls itself ready is part of its price. */
const AFTER_MS = 3000;

/** What must outlive a change of the agent. */
async function identityOf(cluster: Cluster, node: LabNode): Promise<object> {
  const { mac, device, addresses } = await kernelStateOf(node);
  const index = (await node.run(['cat', '/sys/class/net/flannel.1/ifindex'])).trim();
  const pods = node.pods.map(({ name, ips }) => ({ name, ips }));
  const subnetEnv = node.readFile(SUBNET_FILE).replace(/^FLANNEL_MTU=.*\n/m, '');
  return { mac, device, addresses, index, subnetEnv, pods, annotations: await cluster.annotations(node) };
}

function podMtu(node: LabNode): number {
  return Number(/^FLANNEL_MTU=(\d+)$/m.exec(node.readFile(SUBNET_FILE))?.[1]);
}

/** Everything named after flannel in the node's packet filter, whatever the program that lists it. */
async function flannelRules(node: LabNode): Promise<string[]> {
  const nft = await node.run(['nft', 'list', 'ruleset']);
  return nft.split('\n').filter((line) => /flannel/i.test(line) && !/dev flannel|"flannel\./.test(line));
}

function describeLoss(name: string, { sent, lostAtMost, longestLossMs, ownGapMs }: FlowResult): string {
  return `${name}: ${lostAtMost} of ${sent} packets lost, longest silence ${longestLossMs} ms (probe’s own ${ownGapMs.toFixed(0)} ms)`;
}

const clusters: readonly { name: string; spec: Omit<ClusterSpec, 'nodes'> }[] = [
  { name: 'flannel with iptables', spec: {} },
  { name: 'flannel with nftables', spec: { nftables: true } },
  { name: 'dual-stack, flannel with iptables', spec: { isDual: true } },
];

describe.for(clusters)('a cluster of $name', ({ name, spec }) => {
  const missing = missingPrograms(env);
  let cluster: Cluster | undefined;
  beforeAll(async () => {
    if (missing === undefined) cluster = await Cluster.start({ nodes: ['flannel', 'flannel', 'weft'], ...spec }, env);
  }, START_MS);
  afterAll(async () => await cluster?.stop(), START_MS);
  beforeEach(() => needs.machine(missing === undefined, missing ?? ''));

  function started(): Cluster {
    if (cluster === undefined) throw new Error('the cluster did not start');
    return cluster;
  }

  /** Changes the node under flows of its pod: to another node’s pod, from it, and to outside. */
  async function change(node: LabNode, peer: LabNode, to: Program): Promise<string[]> {
    const [pod, peerPod] = [node.pods[0], peer.pods[0]] as [LabPod, LabPod];
    const outside = { netnsFromOutside: `/proc/${started().lab.pid}/ns/net`, ip: UNDERLAY_GATEWAY };
    const flows = {
      'from the node’s pod': await startFlow(pod, peerPod),
      'to the node’s pod': await startFlow(peerPod, pod),
      'from its pod to outside': await startFlow(pod, outside, { freshPorts: true, expectSource: node.address }),
    };
    const monitor = await KernelMonitor.start(node);
    onTestFinished(async () => {
      await monitor.abandon();
      for (const flow of Object.values(flows)) await flow.abandon();
    });
    await started().change(node, to);
    await sleep(AFTER_MS);
    const lost: string[] = [];
    for (const [path, flow] of Object.entries(flows)) {
      const result = await flow.stop();
      const text = describeLoss(`${name}, ${node.name} to ${to}, ${path}`, result);
      process.stdout.write(`${text}\n`);
      if (result.lostAtMost > 0 && to === 'weft') lost.push(text);
    }
    const gone = removals(await monitor.stop(['flannel.1', 'flannel-v6.1']));
    if (to === 'weft') expect(gone.filter((line) => /link|address|neigh|fdb/.test(line))).toEqual([]);
    return lost;
  }

  test.for(['node-1', 'node-2'])(
    '%s goes from flannel to Weft: nothing of its own changes, and no packet is lost',
    {
      timeout: CHANGE_MS,
    },
    async (nodeName) => {
      const { lab } = started();
      const node = lab.node(nodeName);
      const before = await identityOf(started(), node);
      expect(await change(node, lab.node('node-3'), 'weft')).toEqual([]);
      const after = await identityOf(started(), node);
      expect(after).toEqual(before);
      expect(failed(await lab.matrix())).toEqual([]);
      // What fits through both families' tunnels (D17).
      expect(podMtu(node)).toBe(spec.isDual === true ? 1430 : 1450);
    },
  );

  test('nothing of flannel’s rules is left on a node with Weft', async () => {
    for (const node of started().lab.nodes) expect(await flannelRules(node)).toEqual([]);
  });

  test('pods that flannel’s plugins made are removed by ours, and their addresses can be had again', async () => {
    const node = started().lab.node('node-1');
    const [old] = node.pods as [LabPod];
    await old.remove();
    const left = await node.exec(['sh', '-c', `ls /var/lib/cni/networks/cbr0 | grep -Fx ${old.ip}`]);
    expect(left.stdout).toBe('');
    const pod = await node.addPod();
    expect(failed(await started().lab.matrix())).toEqual([]);
    expect(pod.ip).toMatch(/^10\.244\.1\./);
  });

  test('node-1 goes back to flannel: its lease, its MAC and its pods stay', { timeout: CHANGE_MS }, async () => {
    const { lab } = started();
    const node = lab.node('node-1');
    const before = await identityOf(started(), node);
    await change(node, lab.node('node-3'), 'flannel');
    const after = await identityOf(started(), node);
    expect(after).toEqual(before);
    expect(failed(await lab.matrix())).toEqual([]);
    const [pod] = node.pods as [LabPod];
    await pod.remove();
    await node.addPod();
    expect(failed(await lab.matrix())).toEqual([]);
  });
});
