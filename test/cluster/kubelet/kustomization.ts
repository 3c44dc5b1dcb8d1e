// Applies a base or overlay of manifests/kustomize with components, as a cluster's owner does with a kustomization.

import { mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { manifests } from '../manifests/documents.ts';
import type { KubeCluster } from './cluster.ts';
import { kubectlApply } from './flannel-cluster.ts';

/** The names of folders in manifests/kustomize. */
export async function applyKustomization(
  cluster: KubeCluster,
  resource: string,
  components: readonly string[] = [],
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'weft-kustomization-'));
  const place = (name: string): string => relative(realpathSync(folder), join(manifests, 'kustomize', name));
  try {
    const kustomization = { resources: [place(resource)], components: components.map(place) };
    writeFileSync(join(folder, 'kustomization.yaml'), JSON.stringify(kustomization));
    await kubectlApply(cluster, ['--kustomize', folder]);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** What the component fast-path needs on the nodes. A node of the lab lacks it, and must get it before the agent. */
export async function mountBpffs(cluster: KubeCluster): Promise<void> {
  for (const node of cluster.lab.nodes) await node.run(['mount', '-t', 'bpf', 'bpf', '/sys/fs/bpf']);
}
