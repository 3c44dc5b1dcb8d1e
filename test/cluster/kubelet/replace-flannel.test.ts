// Replaces flannel's DaemonSet by Weft's with one `kubectl apply -k`, and Weft's by flannel's with one `kubectl apply`, as
// manifests/README.md describes, under a flow of 1000 packets a second between pods that stay. The tests run in order: each
// continues where the one before it ended.

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { waitUntil } from '../../lab/processes.ts';
import { devicesWithPrograms } from '../../support/fast-path.ts';
import { needs } from '../../support/needs.ts';
import { IMAGE } from '../containerd/image.ts';
import { type NodeState, stateOf } from '../interop/node-state.ts';
import { manifests, readObjects } from '../manifests/documents.ts';
import { createDaemonSet, createDeployment, listPods, scale } from './api.ts';
import type { KubeCluster } from './cluster.ts';
import {
  applyFlannel,
  FLANNEL_DAEMON_SET,
  FLANNEL_NAMESPACE,
  type FlannelCluster,
  kubectlApply,
  missingForFlannel,
  startFlannelCluster,
  untilFlannelRuns,
} from './flannel-cluster.ts';
import { applyKustomization, mountBpffs } from './kustomization.ts';
import { lossOf } from './loss.ts';
import { failedPairs, untilReady, untilRolledOut } from './scene.ts';

const NODES = 2;
const TEST_MS = 150_000;

let site: FlannelCluster;
let cluster: KubeCluster;
const asFlannelHadIt = new Map<string, NodeState>();

beforeAll(async () => {
  if (missingForFlannel !== '') return;
  site = await startFlannelCluster(NODES);
  cluster = site.cluster;
}, 180_000);
afterAll(() => site?.stop());
beforeEach(() => needs.machine(missingForFlannel === '', missingForFlannel));

async function addressesOf(app: string): Promise<string[]> {
  return (await listPods(cluster.server, app)).map(({ metadata, status }) => `${metadata.name} ${status.podIP}`).sort();
}

/** Replaces the pods by four new ones in the same subnets, which the currently installed plugin attaches. */
async function renewMany(): Promise<void> {
  await scale(cluster.server, 'many', 0);
  await untilReady(cluster, 'many', 0);
  await scale(cluster.server, 'many', 4);
  const pods = await untilReady(cluster, 'many', 4);
  expect(await failedPairs(cluster, [...pods, ...(await listPods(cluster.server, 'stays'))])).toEqual([]);
}

function sorted(state: NodeState | undefined): object {
  return { ...state, rules: state?.rules.toSorted() };
}

describe('flannel’s DaemonSet on kubelets', { timeout: TEST_MS }, () => {
  test('runs, and its pods reach each other', async () => {
    await applyFlannel(cluster);
    await untilFlannelRuns(cluster);
    await createDaemonSet(cluster.server, 'stays', IMAGE);
    await createDeployment(cluster.server, 'many', IMAGE, 4);
    const pods = [...(await untilReady(cluster, 'stays', NODES)), ...(await untilReady(cluster, 'many', 4))];
    expect(await failedPairs(cluster, pods)).toEqual([]);
    for (const node of cluster.lab.nodes) asFlannelHadIt.set(node.name, await stateOf(node));
  });

  test('is replaced by Weft’s with one command: no packet is lost, pods stay, and new pods reach them', async () => {
    const before = await addressesOf('stays');
    const lost = await lossOf(cluster, 'stays', 'flannel to Weft', async () => {
      await kubectlApply(cluster, [`--kustomize=${manifests}/kustomize/overlays/replace-flannel-release`]);
      await untilRolledOut(cluster, FLANNEL_NAMESPACE, FLANNEL_DAEMON_SET);
    });
    expect(lost).toBe(0);
    expect(await addressesOf('stays')).toEqual(before);
    for (const node of cluster.lab.nodes) {
      const { rules, routes } = await stateOf(node);
      expect(rules.filter((line) => /flannel-ipv|FLANNEL-/.test(line))).toEqual([]);
      expect(rules).toContain('table ip weft {');
      expect(routes.filter((line) => !/proto (138|kernel)/.test(line))).toEqual([]);
    }
    await renewMany();
  });

  test('takes the component fast-path beside it, under a flow', async () => {
    await mountBpffs(cluster);
    const lost = await lossOf(cluster, 'stays', 'the fast path', async () => {
      await applyKustomization(cluster, 'overlays/replace-flannel-release', ['components/fast-path']);
      await untilRolledOut(cluster, FLANNEL_NAMESPACE, FLANNEL_DAEMON_SET);
    });
    expect(lost).toBe(0);
    for (const node of cluster.lab.nodes) {
      // The tunnel's device, and the veths of the pods of both agents' plugins.
      await waitUntil(() => devicesWithPrograms(node).length >= 3, TEST_MS, `the fast path of ${node.name}`);
      expect(devicesWithPrograms(node)).toContain('flannel.1');
    }
  });

  test('is put back with one command, and cleanup.yml leaves the nodes as they were', async () => {
    const before = await addressesOf('stays');
    await lossOf(cluster, 'stays', 'Weft to flannel', async () => {
      await applyFlannel(cluster);
      await untilRolledOut(cluster, FLANNEL_NAMESPACE, FLANNEL_DAEMON_SET);
    });
    expect(await addressesOf('stays')).toEqual(before);
    // Nothing is left that could remove the programs; they leave every packet to the kernel.
    for (const node of cluster.lab.nodes) expect((await stateOf(node)).programs).toContain('flannel.1');
    const cleanup = readObjects('cleanup.yml').map((object) => {
      return stringify({ ...object, metadata: { ...object.metadata, namespace: FLANNEL_NAMESPACE } });
    });
    const lost = await lossOf(cluster, 'stays', 'cleanup', async () => {
      await kubectlApply(cluster, ['--filename=-'], cleanup.join('---\n'));
      await untilRolledOut(cluster, FLANNEL_NAMESPACE, 'weft-cleanup');
    });
    expect(lost).toBe(0);
    for (const node of cluster.lab.nodes)
      expect(sorted(await stateOf(node))).toEqual(sorted(asFlannelHadIt.get(node.name)));
    await renewMany();
  });
});
