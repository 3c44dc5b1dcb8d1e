// The whole way of a pod in a real cluster. Kubelet registers the node and kube-controller-manager gives it a podCIDR. The agent of
// manifests/weft.yml takes the podCIDR, and the node becomes Ready. Then kube-scheduler places pods, and kubelet has containerd
// call the plugin. The tests run in order: each continues where the one before it ended.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { startFlow } from '../../faults/probe/flow.ts';
import { CNI_BIN_FOLDER, CNI_CACHE_FOLDER, CONFLIST_FOLDER, SUBNET_FILE } from '../../lab/contract.ts';
import type { LabNode } from '../../lab/lab-node.ts';
import { needs } from '../../support/needs.ts';
import { runPlugin } from '../api-server/plugin-scene.ts';
import { IMAGE } from '../containerd/image.ts';
import { readObjects } from '../manifests/documents.ts';
import {
  apply,
  createDaemonSet,
  createDeployment,
  deleteWorkload,
  HOST_PORT,
  isTrue,
  listNodes,
  listPods,
  type PodObject,
  restartRollout,
  scale,
} from './api.ts';
import { KubeCluster, missingServers } from './cluster.ts';
import {
  failedPairs,
  fetchFrom,
  flowEnd,
  nodeOf,
  until,
  untilNodesAreReady,
  untilReady,
  untilRolledOut,
} from './scene.ts';

const NODES = 2;
const TEST_MS = 120_000;

let cluster: KubeCluster;
beforeAll(async () => {
  if (missingServers().length === 0) cluster = await KubeCluster.start({ nodes: NODES });
}, 180_000);
afterAll(() => cluster?.stop());
beforeEach(() =>
  needs.machine(missingServers().length === 0, `${missingServers().join(', ')} (in KUBEBUILDER_ASSETS, then on PATH)`),
);

function filesIn(node: LabNode, folder: string): string[] {
  const outside = node.pathFromOutside(folder);
  return existsSync(outside) ? readdirSync(outside) : [];
}

/** Lists the address files of pods on all nodes. */
function held(): string[] {
  return cluster.lab.nodes.flatMap((node) =>
    filesIn(node, `${CNI_CACHE_FOLDER}/networks/cbr0`).filter((name) => /^10\./.test(name)),
  );
}

async function untilHeld(count: number): Promise<void> {
  await until(cluster, () => Promise.resolve(held().length === count), `${count} addresses held, not ${held().length}`);
}

describe('a cluster of kubelets', { timeout: TEST_MS }, () => {
  test('registers its nodes, gives them podCIDRs, and keeps pods off them without a network', async () => {
    await Promise.all(cluster.lab.nodes.map((node) => cluster.startKubelet(node)));
    await until(
      cluster,
      async () => {
        const nodes = await listNodes(cluster.server);
        return nodes.length === NODES && nodes.every(({ spec }) => spec.podCIDR !== undefined);
      },
      'podCIDRs',
    );
    const nodes = await listNodes(cluster.server);
    expect(nodes.map((node) => isTrue(node, 'Ready'))).toEqual([false, false]);
    expect(nodes.map(({ spec }) => spec.taints?.map(({ key }) => key))).toEqual(
      Array(NODES).fill(['node.kubernetes.io/not-ready']),
    );
  });

  test('has ready nodes in the subnets the controller gave, once weft.yml and the policies are applied', async () => {
    expect(cluster.lab.nodes.flatMap((node) => filesIn(node, CNI_BIN_FOLDER))).toEqual([]);
    await apply(cluster.server, [...readObjects('weft-policy.yml'), ...readObjects('weft.yml')]);
    await untilRolledOut(cluster, 'weft', 'weft');
    await untilNodesAreReady(cluster);
    const nodes = await listNodes(cluster.server);
    expect(nodes).toHaveLength(NODES);
    for (const { metadata, spec } of nodes) {
      const node = cluster.lab.node(metadata.name);
      expect(node.readFile(SUBNET_FILE)).toContain(`FLANNEL_SUBNET=${spec.podCIDR?.replace(/0\/24$/, '1/24')}\n`);
      expect(filesIn(node, CONFLIST_FOLDER)).toEqual(['10-flannel.conflist']);
    }
  });

  test('runs a DaemonSet whose pods reach each other by the tunnel, and by ports of their nodes', async () => {
    await createDaemonSet(cluster.server, 'every-node', IMAGE);
    const pods = await untilReady(cluster, 'every-node', NODES);
    const nodes = await listNodes(cluster.server);
    for (const { spec, status } of pods) {
      const cidr = nodes.find(({ metadata }) => metadata.name === spec.nodeName)?.spec.podCIDR ?? '';
      expect(status.podIP?.startsWith(cidr.replace(/0\/24$/, ''))).toBe(true);
    }
    expect(await failedPairs(cluster, pods)).toEqual([]);
    for (const from of pods)
      for (const to of pods)
        expect(await fetchFrom(cluster, from, `http://${nodeOf(cluster, to).address}:${HOST_PORT}/`)).toBe(
          to.metadata.name,
        );
  });

  test('answers kubectl weft: all is well, its test pods reach each other, and an archive has the logs', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'weft-kubelet-plugin-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const weft = async (...args: string[]): Promise<string> => {
      const { exitCode, stdout, stderr } = await runPlugin(cluster.server, folder, args);
      expect({ args, exitCode, text: stdout + stderr }).toMatchObject({ args, exitCode: 0 });
      return stdout;
    };
    expect(await weft('status')).toContain(`${NODES} of ${NODES} nodes ready`);
    expect(await weft('doctor')).toMatch(/^0 errors, /m);
    // There is neither kube-proxy nor DNS in this cluster.
    const reached = await weft('connectivity', '--without', 'service,dns');
    process.stdout.write(reached);
    expect(reached).toMatch(/^pod to pod +2 of 2$/m);
    expect(reached).toMatch(/^packets of full size +2 of 2$/m);
    expect(reached).toMatch(/^pod to node and back +8 of 8$/m);
    const { body } = await cluster.server.must({ path: '/api/v1/namespaces' });
    expect(JSON.stringify(body)).not.toContain('weft-connectivity');
    await weft('bundle', '--output', 'b.tar.gz');
    const unpack = ['-xzOf', join(folder, 'b.tar.gz'), 'nodes/node-1/agent.log', 'nodes/node-2/kernel/fdb.jsonl'];
    const text = execFileSync('tar', unpack, { encoding: 'utf8' });
    expect(text).toContain('"msg":"starting"');
    expect(text).toContain(cluster.lab.node('node-1').address);
    await weft('map', '--output', 'map.html');
    expect(readFileSync(join(folder, 'map.html'), 'utf8')).toContain('"node-2"');
  });

  test('names what does not work, by the test pods’ own failures', async () => {
    const rule = 'table inet t { chain i { type filter hook input priority 0; udp dport 8472 drop; }; }\n';
    await cluster.lab.node('node-2').run(['nft', '-f', '-'], { input: rule });
    onTestFinished(async () => {
      await cluster.lab.node('node-2').run(['nft', 'delete', 'table', 'inet', 't']);
    });
    const folder = mkdtempSync(join(tmpdir(), 'weft-kubelet-plugin-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const { exitCode, stdout } = await runPlugin(cluster.server, folder, ['connectivity', '--without', 'service,dns']);
    expect(stdout).toContain('pods on node-1 cannot reach pods on node-2; found from both sides [connectivity-pod]');
    expect(exitCode).toBe(1);
  });

  test('scales a Deployment up and down, and every address is given back', async () => {
    await createDeployment(cluster.server, 'many', IMAGE, 8);
    const pods = await untilReady(cluster, 'many', 8);
    expect(new Set(pods.map(({ status }) => status.podIP)).size).toBe(8);
    expect(held()).toHaveLength(8 + NODES);
    await scale(cluster.server, 'many', 1);
    await untilHeld(1 + NODES);
  });

  test('replaces the agents one after the other, and no packet between pods is lost', async () => {
    const [from, to] = (await listPods(cluster.server, 'every-node')) as [PodObject, PodObject];
    const flow = await startFlow(await flowEnd(cluster, from), await flowEnd(cluster, to));
    onTestFinished(() => flow.abandon());
    await restartRollout(cluster.server, 'weft', 'weft');
    await untilRolledOut(cluster, 'weft', 'weft');
    const { sent, lostAtMost } = await flow.stop();
    process.stdout.write(`roll-out of the agents on ${NODES} nodes: ${lostAtMost} of ${sent} packets lost\n`);
    expect(lostAtMost).toBe(0);
  });

  test('continues to start and end pods while no agent runs', async () => {
    await deleteWorkload(cluster.server, 'daemonsets', 'weft', 'weft');
    await until(cluster, async () => (await agentPods()).length === 0, 'end of the agents');
    await scale(cluster.server, 'many', 4);
    expect(await failedPairs(cluster, await untilReady(cluster, 'many', 4))).toEqual([]);
    await apply(cluster.server, readObjects('weft.yml'));
    await untilRolledOut(cluster, 'weft', 'weft');
  });

  test('leaves nothing of deleted pods', async () => {
    await deleteWorkload(cluster.server, 'daemonsets', 'every-node');
    await deleteWorkload(cluster.server, 'deployments', 'many');
    await untilHeld(0);
    for (const node of cluster.lab.nodes) {
      const show = ['ip', '-o', 'link', 'show', 'type', 'veth'];
      await until(cluster, async () => !(await node.run(show)).includes('master cni0'), 'no ports');
    }
  });
});

async function agentPods(): Promise<unknown[]> {
  return (await cluster.server.must({ path: '/api/v1/namespaces/weft/pods' })).body['items'] as unknown[];
}
