// flannel's own agent and ours in one cluster with the backends wireguard and ipip, on etcd: which nodes reach which, what both agents
// leave in the kernel, and a node that changes from one agent to the other and back. Each test continues where the one before it ended.

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { deleteOperation } from '../../flanneld/subnet/etcd/etcd-json.ts';
import { findFlanneld } from '../cluster/interop/programs.ts';
import { startFlow } from '../faults/probe/flow.ts';
import type { Lab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import { waitUntil } from '../lab/processes.ts';
import { builtAgent } from '../lab/programs.ts';
import { allPodsReach } from '../lab/support/status.ts';
import { type EtcdLab, startEtcdLab } from '../support/etcd-lab.ts';
import { needs } from '../support/needs.ts';
import { never } from '../support/store-contract.ts';
import { hasLinkKind } from './has-link-kind.ts';

const LOOK_MS = 30_000;
const flanneld = findFlanneld();

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

  test('a node changes from flannel to Weft and back under a flow, and is reached again each time', async () => {
    const [from, to] = [ours.pods[0], theirs.pods[0]];
    if (from === undefined || to === undefined) throw new Error('a pod is missing');
    for (const [what, program] of [
      ['flannel → Weft', builtAgent],
      ['Weft → flannel', flanneld ?? ''],
    ] as const) {
      const flow = await startFlow(from, to, { rateHz: 20 });
      await started().run(theirs, program);
      await allPodsReach(lab);
      const { lost, longestLossMs, sent } = await flow.stop();
      process.stdout.write(`${type}, ${what}: ${lost} of ${sent} packets lost, at most ${longestLossMs} ms in a row\n`);
    }
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
