// flannel's own agent and ours in one cluster with the backends wireguard and ipip, on etcd: which nodes reach which, what both agents
// leave in the kernel, and a node that changes from one agent to the other and back. Each test continues where the one before it ended.

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { deleteOperation } from '../../flanneld/subnet/etcd/etcd-json.ts';
import { findFlanneld } from '../cluster/interop/programs.ts';
import { startFlow } from '../faults/probe/flow.ts';
import type { FlowResult } from '../faults/probe/spec.ts';
import type { Lab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import type { LabPod } from '../lab/lab-pod.ts';
import { failed } from '../lab/matrix.ts';
import { waitUntil } from '../lab/processes.ts';
import { builtAgent } from '../lab/programs.ts';
import { allPodsReach } from '../lab/support/status.ts';
import { type EtcdLab, startEtcdLab } from '../support/etcd-lab.ts';
import { needs } from '../support/needs.ts';
import { never } from '../support/store-contract.ts';
import { hasLinkKind } from './has-link-kind.ts';

const LOOK_MS = 30_000;
const RATE_HZ = 20;
const flanneld = findFlanneld();

function podOf(node: LabNode): LabPod {
  const [pod] = node.pods;
  if (pod === undefined) throw new Error(`${node.name} has no pod`);
  return pod;
}

beforeEach(() => needs.machine(flanneld !== undefined, 'flannel’s flanneld (in KUBEBUILDER_ASSETS, then on PATH)'));

describe.each([
  { type: 'wireguard', device: 'flannel-wg', has: hasLinkKind('wireguard'), name: 'WireGuard' },
  { type: 'ipip', device: 'flannel.ipip', has: hasLinkKind('ipip', 'local', '192.0.2.1'), name: 'IPIP' },
])('flannel and Weft with the backend $type', ({ type, device, has, name }) => {
  let mixed: EtcdLab | undefined;
  let lab: Lab;
  let ours: LabNode;
  let theirs: LabNode;

  function started(): EtcdLab {
    if (mixed === undefined) throw new Error('the lab did not start');
    return mixed;
  }

  beforeAll(async () => {
    if (!has || flanneld === undefined) return;
    // flannel 0.28 uses nftables only when it is told to, and Debian's kernels support both.
    mixed = await startEtcdLab({ Network: '10.244.0.0/16', EnableNFTables: true, Backend: { Type: type } });
    lab = mixed.lab;
    [ours, theirs] = [lab.node('node-1'), lab.node('node-2')];
    await mixed.run(ours, builtAgent);
    await mixed.run(theirs, flanneld);
    for (const node of lab.nodes) await node.addPod();
  });
  afterAll(async () => await mixed?.down());
  beforeEach(() => needs.machine(has, `${name} in the kernel`));

  test('pods of both reach each other', async () => {
    await allPodsReach(lab);
  });

  test('both leave the same device and the same routes', async () => {
    const shapeOf = async (node: LabNode): Promise<string[]> => {
      const link = (await node.run(['ip', '-d', 'link', 'show', device])).replaceAll(node.address, 'OWN');
      const routes = await node.run(['ip', 'route', 'show', 'dev', device]);
      const peer = lab.nodes.find((each) => each !== node)?.address ?? '';
      const alike = routes
        .replaceAll(peer, 'PEER')
        .replace(/10\.244\.\d+\.0/g, 'SUBNET')
        .replace(/ proto (138|boot)/g, '');
      return [...link.replace(/^\d+: /, '').split('\n'), ...alike.split('\n')].map((line) => line.trim());
    };
    expect(await shapeOf(ours)).toEqual(await shapeOf(theirs));
  });

  /** Gives the second node another agent under a flow in each direction. Resolves with what the flows saw. */
  async function changeTo(program: string, end: 'stop' | 'kill'): Promise<FlowResult[]> {
    const [from, to] = [podOf(ours), podOf(theirs)];
    const flows = [await startFlow(from, to, { rateHz: RATE_HZ }), await startFlow(to, from, { rateHz: RATE_HZ })];
    for (const flow of flows) await flow.begin();
    await theirs.agent[end]();
    await started().run(theirs, program);
    await allPodsReach(lab);
    return await Promise.all(flows.map((flow) => flow.stop()));
  }

  function show(what: string, results: readonly FlowResult[]): void {
    for (const [at, { lost, longestLossMs, sent }] of results.entries()) {
      const way = at === 0 ? 'to the node' : 'from the node';
      process.stdout.write(
        `${type}, ${what}, ${way}: ${lost} of ${sent} packets lost, at most ${longestLossMs} ms in a row\n`,
      );
    }
  }

  const hasDevice = async (node: LabNode): Promise<boolean> =>
    (await node.exec(['test', '-e', `/sys/class/net/${device}`])).exitCode === 0;

  test('Weft takes over the device of a flannel that was killed, and no packet is lost', async () => {
    const index = await theirs.run(['cat', `/sys/class/net/${device}/ifindex`]);
    const results = await changeTo(builtAgent, 'kill');
    show('flannel, killed → Weft', results);
    expect(await theirs.run(['cat', `/sys/class/net/${device}/ifindex`])).toBe(index);
    expect(results.map(({ lost }) => lost)).toEqual([0, 0]);
  });

  test('Weft gives a node back to flannel, and it is reached again', async () => {
    await theirs.agent.stop();
    // What is lost from here on is lost by flannel, which deletes a WireGuard device that it finds and makes its own.
    expect(await hasDevice(theirs)).toBe(true);
    expect(failed(await lab.matrix())).toEqual([]);
    show('Weft → flannel', await changeTo(flanneld ?? '', 'stop'));
  });

  test('a node changes from a flannel that was stopped to Weft, and is reached again', async () => {
    const results = await changeTo(builtAgent, 'stop');
    show('flannel, stopped → Weft', results);
    // A flannel that is stopped leaves its ipip device.
    if (type === 'ipip') expect(results.map(({ lost }) => lost)).toEqual([0, 0]);
  });

  test('control: a flannel that is stopped deletes its WireGuard device, so no packet passes until another agent runs', async () => {
    await started().run(theirs, flanneld ?? '');
    await allPodsReach(lab);
    await theirs.agent.stop();
    expect(await hasDevice(theirs)).toBe(type !== 'wireguard');
    expect(failed(await lab.matrix()).length > 0).toBe(type === 'wireguard');
    await started().run(theirs, builtAgent);
    await allPodsReach(lab);
  });

  test('a peer whose lease is gone is forgotten by our agent', async () => {
    const { site } = started();
    await theirs.agent.stop();
    const isKnown = async (): Promise<boolean> => {
      const shown =
        type === 'wireguard'
          ? await ours.run(['wg', 'show', device, 'peers'])
          : await ours.run(['ip', 'route', 'show', 'dev', device]);
      return shown.trim() !== '';
    };
    expect(await isKnown()).toBe(true);
    for (const [key, { value }] of await site.stored()) {
      if (!value.includes(`"${theirs.address}"`)) continue;
      await site.gateway.transact('', [], [deleteOperation(`${site.prefix}/subnets/${key}`)], never);
    }
    await waitUntil(async () => !(await isKnown()), LOOK_MS, 'the end of the peer');
  });
});
