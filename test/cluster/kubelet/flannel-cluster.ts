// A cluster of kubelets in which flannel runs as its release installs it.

import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { execProgram } from '../../../lib/exec-node.ts';
import type { JsonObject } from '../../lab/cni/conflist.ts';
import { classicConflist } from '../../lab/node-spec.ts';
import { findServer } from '../../support/background.ts';
import { FLANNEL_IMAGE, flannelObjects } from '../../support/flannel-objects.ts';
import { CHAIN, findChain, findFlanneld, missingPrograms } from '../interop/programs.ts';
import { type ClusterOptions, KubeCluster, missingServers } from './cluster.ts';
import { writeFlannelImage } from './images.ts';
import { untilNodesAreReady, untilRolledOut } from './scene.ts';

export const FLANNEL_NAMESPACE = 'kube-flannel';
export const FLANNEL_DAEMON_SET = 'kube-flannel-ds';
const selector = { app: 'flannel', 'k8s-app': 'flannel' };
const netConf = { Network: '10.244.0.0/16', Backend: { Type: 'vxlan' } };
const kubectl = findServer('kubectl');

/** The missing servers and kubectl, for a cluster without flannel; empty when all are there. */
export const missingForKubectl = [...missingServers(), kubectl === undefined ? 'kubectl on PATH' : undefined]
  .filter((each) => each !== undefined)
  .join(', ');
/** The same for a cluster with flannel. */
export const missingForFlannel = [missingForKubectl, missingPrograms(process.env)]
  .filter((each) => each !== undefined && each !== '')
  .join(', ');

export interface FlannelCluster {
  readonly cluster: KubeCluster;
  stop(): Promise<void>;
}

/** Starts the cluster with kubelets, the plugins flannel needs on the nodes, and flannel's image; flannel itself is not applied. */
export async function startFlannelCluster(
  nodes: number,
  { putImages, ...options }: Pick<ClusterOptions, 'families' | 'hasServices' | 'putImages'> = {},
): Promise<FlannelCluster> {
  const folder = mkdtempSync(join(tmpdir(), 'weft-flannel-'));
  const chain = findChain(process.env) ?? '';
  for (const name of CHAIN.filter((each) => each !== 'flannel')) cpSync(join(chain, name), join(folder, name));
  const cluster = await KubeCluster.start({
    nodes,
    pluginFolder: folder,
    ...options,
    putImages: (where) => {
      const file = join(where, 'flannel.tar');
      writeFlannelImage(file, FLANNEL_IMAGE, findFlanneld() ?? '', join(chain, 'flannel'));
      return [file, ...(putImages?.(where) ?? [])];
    },
  });
  await Promise.all(cluster.lab.nodes.map((node) => cluster.startKubelet(node)));
  return {
    cluster,
    async stop() {
      await cluster.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** `kubectl apply ARGS`. This process may relay to the API server, so it must not wait for kubectl without doing anything else. */
export async function kubectlApply(cluster: KubeCluster, args: readonly string[], input = ''): Promise<void> {
  const all = [`--kubeconfig=${cluster.server.adminKubeconfig}`, 'apply', ...args];
  await execProgram([kubectl ?? 'kubectl', ...all], { input, timeoutMs: 120_000 });
}

/** `keys` are further keys of net-conf.json. */
export async function applyFlannel(cluster: KubeCluster, moreNetConf: JsonObject = {}): Promise<void> {
  const config = {
    'cni-conf.json': JSON.stringify(classicConflist),
    'net-conf.json': JSON.stringify({ ...netConf, ...moreNetConf }),
  };
  const texts = flannelObjects({ selector, config }).map((object) => stringify(object));
  await kubectlApply(cluster, ['--filename=-'], texts.join('---\n'));
}

export async function untilFlannelRuns(cluster: KubeCluster): Promise<void> {
  await untilRolledOut(cluster, FLANNEL_NAMESPACE, FLANNEL_DAEMON_SET);
  await untilNodesAreReady(cluster);
}
