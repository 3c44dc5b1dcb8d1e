// `npm run deploy` on kubelets: a cluster without a network gets one and loses it again; flannel is replaced node by node under a flow, and
// restored when packets are lost. Each test continues where the one before it ended.

import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { LabNode } from '../../lab/lab-node.ts';
import { Background } from '../../support/background.ts';
import { needs } from '../../support/needs.ts';
import { IMAGE } from '../containerd/image.ts';
import { agentContainer, readObjects, repository } from '../manifests/documents.ts';
import { createDaemonSet, listNodes, listPods } from './api.ts';
import { KubeCluster } from './cluster.ts';
import {
  applyFlannel,
  FLANNEL_DAEMON_SET,
  FLANNEL_NAMESPACE,
  type FlannelCluster,
  missingForFlannel,
  missingForKubectl,
  startFlannelCluster,
  untilFlannelRuns,
} from './flannel-cluster.ts';
import { lossOf } from './loss.ts';
import { until, untilReady } from './scene.ts';

const NODES = 2;
const TEST_MS = 400_000;
const agentImage = agentContainer(readObjects('weft.yml')).image;
const CHECK_PORT = 8080;

/** Runs it to its end, as a user does. */
async function deploy(cluster: KubeCluster, ...args: string[]): Promise<{ code: number | null; said: string }> {
  const script = [process.execPath, join(repository, 'scripts/npm-script.mjs'), 'deploy'] as const;
  const run = new Background([...script, `--kubeconfig=${cluster.server.adminKubeconfig}`, ...args]);
  while (!run.hasEnded) await sleep(100);
  await sleep(100);
  process.stdout.write(`${run.output}\n`);
  return { code: run.exitCode, said: run.output };
}

async function objectsIn(
  cluster: KubeCluster,
  path: string,
): Promise<{ metadata: { name: string; deletionTimestamp?: string } }[]> {
  return (await cluster.server.must({ path })).body['items'] as { metadata: { name: string } }[];
}

async function untilProbesAreGone(cluster: KubeCluster): Promise<void> {
  const left = async (): Promise<boolean> =>
    !(await objectsIn(cluster, '/api/v1/namespaces')).some(({ metadata }) => metadata.name.startsWith('weft-deploy'));
  await until(cluster, left, 'the end of the probes’ namespace');
}

/** Blocks all packets to pods of this node on the probes' port, until the returned function is called. */
async function spoil(node: LabNode): Promise<() => Promise<void>> {
  const rule = `type filter hook forward priority -10; tcp dport ${CHECK_PORT} drop;`;
  await node.run(['nft', `add table inet spoil { chain forward { ${rule} }; }`]);
  return async () => void (await node.run(['nft', 'delete table inet spoil']));
}

describe('npm run deploy in a cluster without a network', { timeout: TEST_MS }, () => {
  let cluster: KubeCluster;

  beforeAll(async () => {
    if (missingForKubectl !== '') return;
    cluster = await KubeCluster.start({ nodes: NODES });
    await Promise.all(cluster.lab.nodes.map((node) => cluster.startKubelet(node)));
    const haveCidrs = async (): Promise<boolean> => {
      const nodes = await listNodes(cluster.server);
      return nodes.length === NODES && nodes.every(({ spec }) => spec.podCIDR !== undefined);
    };
    await until(cluster, haveCidrs, 'podCIDRs');
  }, 180_000);
  afterAll(() => cluster?.stop());
  beforeEach(() => needs.machine(missingForKubectl === '', missingForKubectl));

  test('refuses a network that does not hold the nodes’, and applies nothing', async () => {
    const { code, said } = await deploy(cluster, `--image=${agentImage}`, '--network=10.99.0.0/16');
    expect(code).toBe(1);
    expect(said).toMatch(/the podCIDR 10\.244\.\d\.0\/24 of node node-\d does not lie in 10\.99\.0\.0\/16/);
    expect((await objectsIn(cluster, '/api/v1/namespaces')).map(({ metadata }) => metadata.name)).not.toContain('weft');
  });

  test('installs it, finds the network out, and shows that pods reach each other', async () => {
    const { code, said } = await deploy(cluster, `--image=${agentImage}`);
    expect(code, said).toBe(0);
    expect(said).toContain('network     10.244.0.0/16 (from the nodes’ podCIDRs)');
    expect(said).toContain('applied     weft.yml and weft-policy.yml');
    expect(said).toContain(`reached     pods on ${NODES} nodes reach each other`);
    await untilProbesAreGone(cluster);
  });

  test('again changes nothing, and a flow loses no packet', async () => {
    await createDaemonSet(cluster.server, 'stays', IMAGE);
    await untilReady(cluster, 'stays', NODES);
    const lost = await lossOf(cluster, 'stays', 'deployed again', async () => {
      expect((await deploy(cluster, `--image=${agentImage}`)).code).toBe(0);
    });
    expect(lost).toBe(0);
  });

  test('says who does not reach whom, when that is so', async () => {
    const undo = await spoil(cluster.lab.node('node-2'));
    const { code, said } = await deploy(cluster, `--image=${agentImage}`);
    await undo();
    expect(code).toBe(1);
    expect(said).toMatch(
      /pods do not reach each other:\nfrom node-\d to node-\d \(http:\/\/10\.244\.\d\.\d+:8080\/\): /,
    );
    await untilProbesAreGone(cluster);
  });

  test('uninstall leaves nothing of it in the cluster and on the nodes but what pods hold', async () => {
    const { code, said } = await deploy(cluster, 'uninstall');
    expect(code, said).toBe(0);
    const isGone = async (): Promise<boolean> =>
      !(await objectsIn(cluster, '/api/v1/namespaces')).some(({ metadata }) => metadata.name === 'weft');
    await until(cluster, isGone, 'the end of the namespace');
    for (const node of cluster.lab.nodes) {
      expect(await node.run(['nft', 'list', 'tables'])).not.toContain('weft\n');
      expect((await node.exec(['ip', 'link', 'show', 'flannel.1'])).exitCode).not.toBe(0);
    }
  });
});

describe('npm run deploy --replace-flannel', { timeout: TEST_MS }, () => {
  let site: FlannelCluster;
  let cluster: KubeCluster;

  beforeAll(async () => {
    if (missingForFlannel !== '') return;
    site = await startFlannelCluster(NODES);
    cluster = site.cluster;
    await applyFlannel(cluster);
    await untilFlannelRuns(cluster);
    await createDaemonSet(cluster.server, 'stays', IMAGE);
    await untilReady(cluster, 'stays', NODES);
  }, 300_000);
  afterAll(() => site?.stop());
  beforeEach(() => needs.machine(missingForFlannel === '', missingForFlannel));

  const daemonSet = async (): Promise<{ image: string | undefined; strategy: unknown }> => {
    const path = `/apis/apps/v1/namespaces/${FLANNEL_NAMESPACE}/daemonsets/${FLANNEL_DAEMON_SET}`;
    const { body } = await cluster.server.must({ path });
    const spec = body['spec'] as {
      updateStrategy: { type: string };
      template: { spec: { containers: { image: string }[] } };
    };
    return { image: spec.template.spec.containers[0]?.image, strategy: spec.updateStrategy.type };
  };
  /** The images of the running agents, one line each. */
  const running = async (): Promise<string[]> => {
    const path = `/api/v1/namespaces/${FLANNEL_NAMESPACE}/pods`;
    const pods = (await cluster.server.must({ path })).body['items'] as { spec: { containers: { image: string }[] } }[];
    return pods.map(({ spec }) => spec.containers[0]?.image ?? '');
  };

  test('is named where flannel runs and nobody asked for it', async () => {
    const { code, said } = await deploy(cluster, `--image=${agentImage}`);
    expect(code).toBe(1);
    expect(said).toContain(
      `flannel runs here, DaemonSet ${FLANNEL_NAMESPACE}/${FLANNEL_DAEMON_SET}: --replace-flannel`,
    );
  });

  test('goes back by itself when the first node’s probes are lost', async () => {
    const before = await daemonSet();
    const canary = cluster.lab.node('node-1');
    let undo: (() => Promise<void>) | undefined;
    // As soon as our agent is on the first node, its pods are cut off.
    const watching = (async () => {
      while (!(await running()).includes(agentImage)) await sleep(200);
      undo = await spoil(canary);
    })();
    const { code, said } = await deploy(cluster, `--image=${agentImage}`, '--replace-flannel');
    await watching;
    await undo?.();
    expect(code).toBe(1);
    expect(said).toContain('flannel runs again as before, because this was lost:');
    expect(said).toMatch(/from node-\d to node-\d \(.*\) has not answered for 3 s/);
    expect(await daemonSet()).toEqual(before);
    expect(new Set(await running())).toEqual(new Set([before.image]));
    await untilProbesAreGone(cluster);
  });

  test('replaces node after node, no packet is lost, and pods keep their addresses', async () => {
    const addresses = async (): Promise<unknown> =>
      (await listPods(cluster.server, 'stays')).map(({ status }) => status.podIP);
    const before = await addresses();
    const lost = await lossOf(cluster, 'stays', 'flannel to Weft, node by node', async () => {
      const { code, said } = await deploy(cluster, `--image=${agentImage}`, '--replace-flannel');
      expect(code, said).toBe(0);
      expect(said).toMatch(/replaced {4}1 of 2 nodes: node-\d\nreplaced {4}2 of 2 nodes: node-\d/);
    });
    expect(lost).toBe(0);
    expect(await addresses()).toEqual(before);
    expect(await daemonSet()).toEqual({ image: agentImage, strategy: 'RollingUpdate' });
    expect(await running()).toEqual([agentImage, agentImage]);
  });
});
