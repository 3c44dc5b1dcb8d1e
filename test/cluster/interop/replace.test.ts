// Nodes change from flannel to Weft and back, one at a time, under flows of 1000 packets a second: what stays, what is taken over, what the
// other agent has left, and what is lost. The losses are printed as a table.

import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { KernelMonitor, removals } from '../../faults/kernel-monitor.ts';
import { type Flow, startFlow } from '../../faults/probe/flow.ts';
import { queueDrops } from '../../faults/probe/queue-drops.ts';
import type { FlowResult } from '../../faults/probe/spec.ts';
import { SUBNET_FILE } from '../../lab/contract.ts';
import { UNDERLAY_GATEWAY } from '../../lab/host/underlay.ts';
import type { LabNode } from '../../lab/lab-node.ts';
import type { LabPod } from '../../lab/lab-pod.ts';
import { failed } from '../../lab/matrix.ts';
import { waitUntil } from '../../lab/processes.ts';
import { kernelStateOf } from '../../lab/support/vxlan-state.ts';
import { counted, fastPathOf, since } from '../../support/fast-path.ts';
import { needs } from '../../support/needs.ts';
import { Cluster, type ClusterSpec } from './cluster.ts';
import { LossTable } from './loss-table.ts';
import { type NodeState, stateOf } from './node-state.ts';
import { missingPrograms } from './programs.ts';

const env = process.env;
const START_MS = 180_000;
const CHANGE_MS = 120_000;
const LOOK_MS = 30_000;
/** The flows go on this long after a program is ready, because what it does then may also lose packets. */
const AFTER_MS = 3000;
const CHANGED_NODES = ['node-1', 'node-2'] as const;
const WEFT_NODE = 'node-3';

const losses = new LossTable();
afterAll(() => {
  process.stdout.write(`\n${losses.render()}\n`);
});

/** The parts of a node's state that must survive a change of the agent. */
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

/** The parts that must be equal on all nodes with Weft, whatever ran there before: rules and files, but only the names of leases. */
async function commonOf(node: LabNode): Promise<Pick<NodeState, 'rules' | 'files'>> {
  const { rules, files } = await stateOf(node);
  const names = files.map((line) => line.replace(/^[0-9a-f]{64} +(\/run\/flannel\/)/, '$1'));
  return { rules: rules.toSorted(), files: names.toSorted() };
}

/** Describes a loss and when it happened, in milliseconds after the flow's start. */
function describeLoss({ lostAtMost, sent, outages, ownGapMs }: FlowResult): string {
  const times = outages.map(({ fromMs, lastedMs }) => `${fromMs.toFixed(0)} for ${lastedMs.toFixed(0)}`);
  return `${lostAtMost} of ${sent} (at ms ${times.join(', ')}; probe’s own gap ${ownGapMs.toFixed(0)} ms)`;
}

const clusters: readonly { name: string; spec: Omit<ClusterSpec, 'nodes'> }[] = [
  { name: 'IPv4, iptables to nftables', spec: {} },
  { name: 'IPv4, nftables', spec: { nftables: true } },
  { name: 'IPv4, iptables', spec: { nftables: false } },
  { name: 'dual-stack, iptables to nftables', spec: { isDual: true } },
  { name: 'dual-stack, nftables', spec: { isDual: true, nftables: true } },
  { name: 'dual-stack, iptables', spec: { isDual: true, nftables: false } },
  { name: 'dual-stack, nftables, fast path', spec: { isDual: true, nftables: true, fastPath: 'full' } },
];

describe.for(clusters)('a cluster of flannel, $name', ({ name, spec }) => {
  const missing = missingPrograms(env);
  const before = new Map<string, NodeState>();
  let cluster: Cluster | undefined;
  beforeAll(async () => {
    if (missing !== undefined) return;
    cluster = await Cluster.start({ nodes: ['flannel', 'flannel', 'weft'], ...spec }, env);
    for (const each of CHANGED_NODES) before.set(each, await stateOf(cluster.lab.node(each)));
  }, START_MS);
  afterAll(async () => await cluster?.stop(), START_MS);
  beforeEach(() => needs.machine(missing === undefined, missing ?? ''));

  function started(): Cluster {
    if (cluster === undefined) throw new Error('the cluster did not start');
    return cluster;
  }

  /** Starts flows to and from the node's pod in every family, and from the pod to the outside. */
  async function startFlows(node: LabNode): Promise<ReadonlyMap<string, Flow>> {
    const [pod, peer] = [node.pods[0], started().lab.node(WEFT_NODE).pods[0]] as [LabPod, LabPod];
    const outside = { netnsFromOutside: `/proc/${started().lab.pid}/ns/net`, ip: UNDERLAY_GATEWAY };
    const flows = new Map<string, Flow>();
    onTestFinished(async () => {
      for (const flow of flows.values()) await flow.abandon();
    });
    for (const [at, family] of ['IPv4', 'IPv6'].slice(0, pod.ips.length).entries()) {
      const [here, there] = [pod, peer].map(({ netnsFromOutside, ips }) => ({ netnsFromOutside, ip: ips[at] ?? '' }));
      if (here === undefined || there === undefined) throw new Error('a flow needs two pods');
      flows.set(`${family} from its pod`, await startFlow(here, there));
      flows.set(`${family} to its pod`, await startFlow(there, here));
    }
    flows.set('to outside', await startFlow(pod, outside, { freshPorts: true, expectSource: node.address }));
    return flows;
  }

  /** Runs `body` under the flows. Resolves with their losses in words, without those that the machine's own queues may have caused. */
  async function underFlows(node: LabNode, change: string, body: () => Promise<unknown>): Promise<string[]> {
    const flows = await startFlows(node);
    const before = queueDrops();
    await body();
    await sleep(AFTER_MS);
    const results = new Map<string, FlowResult>();
    for (const [path, flow] of flows) results.set(path, await flow.stop());
    const dropped = queueDrops() - before;
    losses.add(`${name}: ${node.name} ${change}`, results, dropped);
    return [...results]
      .filter(([, { lostAtMost }]) => lostAtMost > dropped)
      .map(([path, result]) => `${path}: ${describeLoss(result)}`);
  }

  test('flannel on node-1 starts again, and the packets that this loses are counted (control)', {
    timeout: CHANGE_MS,
  }, async () => {
    const node = started().lab.node('node-1');
    await underFlows(node, 'flannel again', () => started().change(node, 'flannel'));
    expect(failed(await started().lab.matrix())).toEqual([]);
  });

  test.for(CHANGED_NODES)(
    '%s goes from flannel to Weft: nothing of its own changes, and no packet is lost',
    { timeout: CHANGE_MS },
    async (nodeName) => {
      const { lab } = started();
      const node = lab.node(nodeName);
      const identity = await identityOf(started(), node);
      const monitor = await KernelMonitor.start(node);
      onTestFinished(() => monitor.abandon());
      expect(await underFlows(node, 'to Weft', () => started().change(node, 'weft'))).toEqual([]);
      const gone = removals(await monitor.stop(['flannel.1', 'flannel-v6.1']));
      expect(gone.filter((line) => /link|address|neigh|fdb/.test(line))).toEqual([]);
      expect(await identityOf(started(), node)).toEqual(identity);
      expect(failed(await lab.matrix())).toEqual([]);
      // The largest payload that fits through the tunnels of both families (D17).
      expect(podMtu(node)).toBe(spec.isDual === true ? 1430 : 1450);
    },
  );

  test.runIf(spec.fastPath !== undefined).for(CHANGED_NODES)(
    'pods of %s have the fast path, those that flannel’s plugins made, too',
    async (nodeName) => {
      const node = started().lab.node(nodeName);
      const isWhole = async (): Promise<boolean> => {
        const { on, notFull, addresses } = await fastPathOf(node);
        return on && notFull === undefined && node.pods.flatMap(({ ips }) => ips).every((ip) => addresses.includes(ip));
      };
      await waitUntil(isWhole, LOOK_MS, `the fast path of ${nodeName}`);
      const [pod, peer] = [node.pods[0], started().lab.node(WEFT_NODE).pods[0]] as [LabPod, LabPod];
      const before = counted(node);
      const flow = await startFlow(pod, peer, { freshPorts: true });
      await flow.untilInRow(500, LOOK_MS);
      const { sent, lost } = await flow.stop();
      expect(lost).toBe(0);
      expect(since(node, before, 'encapsulated')).toBeGreaterThanOrEqual(sent);
    },
  );

  test.for(CHANGED_NODES)(
    'nothing of flannel is left on %s, which looks like a node that never ran flannel',
    async (each) => {
      const { lab } = started();
      expect(await commonOf(lab.node(each))).toEqual(await commonOf(lab.node(WEFT_NODE)));
      const { routes } = await stateOf(lab.node(each));
      expect(routes.filter((line) => !/proto (138|kernel)/.test(line))).toEqual([]);
    },
  );

  test('our plugin removes pods that flannel’s plugins made, and their addresses can be used again', async () => {
    const node = started().lab.node('node-1');
    const [old] = node.pods as [LabPod];
    await old.remove();
    const left = await node.exec(['sh', '-c', `ls /var/lib/cni/networks/cbr0 | grep -Fx ${old.ip}`]);
    expect(left.stdout).toBe('');
    const pod = await node.addPod();
    expect(failed(await started().lab.matrix())).toEqual([]);
    expect(pod.ip).toMatch(/^10\.244\.1\./);
  });

  test.for(CHANGED_NODES)(
    '%s goes back to flannel: its lease, its MAC and its pods stay',
    { timeout: CHANGE_MS },
    async (nodeName) => {
      const { lab } = started();
      const node = lab.node(nodeName);
      const identity = await identityOf(started(), node);
      // A loss at the start of flannel's own agent is no failure of ours. This control shows how much flannel loses.
      await underFlows(node, 'to flannel', () => started().change(node, 'flannel'));
      expect(await identityOf(started(), node)).toEqual(identity);
      expect(failed(await lab.matrix())).toEqual([]);
      // Without an agent the programs leave every packet to the kernel, until cleanup removes them.
      if (spec.fastPath !== undefined) expect((await stateOf(node)).programs).toContain('flannel.1');
    },
  );

  test.for(CHANGED_NODES)(
    'flanneld cleanup leaves %s as flannel had it, and no packet is lost',
    { timeout: CHANGE_MS },
    async (nodeName) => {
      const { lab } = started();
      const node = lab.node(nodeName);
      expect(await underFlows(node, 'cleanup', () => started().cleanUp(node))).toEqual([]);
      expect(sorted(await stateOf(node))).toEqual(sorted(before.get(nodeName)));
      const [pod] = node.pods as [LabPod];
      await pod.remove();
      await node.addPod();
      expect(failed(await lab.matrix())).toEqual([]);
    },
  );
});

/** flannel appends its rules to the rules that it finds, so their order differs here. */
function sorted(state: NodeState | undefined): object {
  return { ...state, rules: state?.rules.toSorted() };
}
