// The clusters on which Kubernetes' tests run: two nodes with kube-proxy and CoreDNS, and Weft or flannel as the pod network.

import { join } from 'node:path';
import { apply } from '../kubelet/api.ts';
import { KubeCluster } from '../kubelet/cluster.ts';
import { applyFlannel, startFlannelCluster, untilFlannelRuns } from '../kubelet/flannel-cluster.ts';
import { until, untilNodesAreReady, untilRolledOut } from '../kubelet/scene.ts';
import { readObjects } from '../manifests/documents.ts';
import { DNS_NAME, DNS_NAMESPACE, dnsObjects } from './dns.ts';
import { writeE2eImages } from './e2e-images.ts';
import { listImages } from './e2e-program.ts';

export type Network = 'weft' | 'flannel';

const NODES = 2;

interface Site {
  readonly cluster: KubeCluster;
  stop(): Promise<void>;
}

/** Starts a cluster with this network. Resolves when its nodes are ready and cluster DNS answers. */
export async function startNetwork(network: Network): Promise<Site> {
  const site = await (network === 'weft' ? startWeft() : startFlannel());
  try {
    await apply(site.cluster.server, dnsObjects());
    await untilDnsServes(site.cluster);
    return site;
  } catch (error) {
    await site.stop();
    throw error;
  }
}

function putImages(folder: string): string[] {
  const file = join(folder, 'e2e.tar');
  writeE2eImages(file, listImages());
  return [file];
}

async function startWeft(): Promise<Site> {
  const cluster = await KubeCluster.start({ nodes: NODES, hasServices: true, putImages });
  try {
    await Promise.all(cluster.lab.nodes.map((node) => cluster.startKubelet(node)));
    await apply(cluster.server, readObjects('weft.yml'));
    await untilRolledOut(cluster, 'weft', 'weft');
    await untilNodesAreReady(cluster);
    return { cluster, stop: () => cluster.stop() };
  } catch (error) {
    await cluster.stop();
    throw error;
  }
}

async function startFlannel(): Promise<Site> {
  const site = await startFlannelCluster(NODES, { hasServices: true, putImages });
  try {
    applyFlannel(site.cluster);
    await untilFlannelRuns(site.cluster);
    return site;
  } catch (error) {
    await site.stop();
    throw error;
  }
}

async function untilDnsServes(cluster: KubeCluster): Promise<void> {
  const path = `/apis/apps/v1/namespaces/${DNS_NAMESPACE}/deployments/${DNS_NAME}`;
  const serves = async (): Promise<boolean> => {
    const { status } = (await cluster.server.must({ path })).body as { status?: { availableReplicas?: number } };
    return (status?.availableReplicas ?? 0) > 0;
  };
  await until(cluster, serves, 'cluster DNS');
}
