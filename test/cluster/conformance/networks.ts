// The clusters on which Kubernetes' tests run: two nodes with kube-proxy and CoreDNS, and Weft or flannel as the pod network.

import { join } from 'node:path';
import { apply } from '../kubelet/api.ts';
import { type ClusterOptions, KubeCluster } from '../kubelet/cluster.ts';
import { applyFlannel, startFlannelCluster, untilFlannelRuns } from '../kubelet/flannel-cluster.ts';
import { applyKustomization, mountBpffs } from '../kubelet/kustomization.ts';
import { type Families, POD_NETWORK_V6 } from '../kubelet/ranges.ts';
import { until, untilNodesAreReady, untilRolledOut } from '../kubelet/scene.ts';
import { DNS_NAME, DNS_NAMESPACE, dnsObjects } from './dns.ts';
import { writeE2eImages } from './e2e-images.ts';
import { listImages } from './e2e-program.ts';

export type Network = 'weft' | 'flannel';

const NODES = 2;

interface Site {
  readonly cluster: KubeCluster;
  stop(): Promise<void>;
}

/** Starts a cluster with this network, Weft's with the component fast-path where `hasFastPath` says so. Resolves when its nodes are ready and cluster DNS answers. */
export async function startNetwork(network: Network, families: Families, hasFastPath = false): Promise<Site> {
  const options = { families, hasServices: true, putImages };
  const site = await (network === 'weft' ? startWeft(options) : startFlannelCluster(NODES, options));
  try {
    if (network === 'weft') await installWeft(site.cluster, families, hasFastPath);
    else await installFlannel(site.cluster, families);
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

async function startWeft(options: Pick<ClusterOptions, 'families' | 'hasServices' | 'putImages'>): Promise<Site> {
  const cluster = await KubeCluster.start({ nodes: NODES, ...options });
  const site = { cluster, stop: () => cluster.stop() };
  try {
    await Promise.all(cluster.lab.nodes.map((node) => cluster.startKubelet(node)));
    return site;
  } catch (error) {
    await site.stop();
    throw error;
  }
}

async function installWeft(cluster: KubeCluster, families: Families, hasFastPath: boolean): Promise<void> {
  if (hasFastPath) await mountBpffs(cluster);
  const base = families === 'dual' ? 'overlays/dual-stack' : 'base';
  await applyKustomization(cluster, base, hasFastPath ? ['components/fast-path'] : []);
  await untilRolledOut(cluster, 'weft', 'weft');
  await untilNodesAreReady(cluster);
}

async function installFlannel(cluster: KubeCluster, families: Families): Promise<void> {
  await applyFlannel(cluster, families === 'dual' ? { EnableIPv6: true, IPv6Network: POD_NETWORK_V6 } : {});
  await untilFlannelRuns(cluster);
}

async function untilDnsServes(cluster: KubeCluster): Promise<void> {
  const path = `/apis/apps/v1/namespaces/${DNS_NAMESPACE}/deployments/${DNS_NAME}`;
  const serves = async (): Promise<boolean> => {
    const { status } = (await cluster.server.must({ path })).body as { status?: { availableReplicas?: number } };
    return (status?.availableReplicas ?? 0) > 0;
  };
  await until(cluster, serves, 'cluster DNS');
}
