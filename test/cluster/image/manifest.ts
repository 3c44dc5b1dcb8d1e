// The pod of weft.yml's DaemonSet, and what kustomize makes of it.

import {
  agentContainer,
  type KubeObject,
  only,
  type PodSpec,
  podSpec,
  readObjects,
  readYaml,
} from '../manifests/documents.ts';

export const objects = readObjects('weft.yml');
export const agentPod = podSpec(objects);
export const agent = agentContainer(objects);
/** The name of the second version of the image. The manifest names the first. */
export const OTHER_IMAGE = `${agent.image}-other`;

interface Addition {
  readonly op: string;
  readonly path: string;
  readonly value: unknown;
}

/** Returns the pod with the additions of the component fast-path. */
export function withFastPath(): PodSpec {
  const daemonSet = structuredClone(only(objects, 'DaemonSet'));
  const [additions] = readYaml('kustomize/components/fast-path/daemonset.yml') as unknown as Addition[][];
  for (const { op, path, value } of additions ?? []) {
    if (op !== 'add') throw new Error(`${path}: op ${op}`);
    const names = path.slice(1).split('/');
    const last = names.pop() ?? '';
    let place = daemonSet as unknown as Record<string, unknown>;
    for (const name of names) place = place[name] as Record<string, unknown>;
    if (Array.isArray(place)) place.push(value);
    else place[last] = value;
  }
  return podSpec([daemonSet]);
}

/**
 * Returns the pod and the ConfigMap that an overlay makes by patching both. Lists whose items have names are merged by name, as
 * kustomize does.
 */
export function withOverlay(name: string): { readonly pod: PodSpec; readonly configMap: KubeObject } {
  const folder = `kustomize/overlays/${name}`;
  const patch = podSpec(readObjects(`${folder}/daemonset.yml`));
  const [container] = patch.containers;
  const { securityContext, volumeMounts = [] } = container ?? agent;
  const capabilities = {
    ...(agent.securityContext['capabilities'] as object),
    ...(securityContext['capabilities'] as object),
  };
  const changed = {
    ...agent,
    securityContext: { ...agent.securityContext, ...securityContext, capabilities },
    volumeMounts: [...(agent.volumeMounts ?? []), ...volumeMounts],
  };
  const plain = only(objects, 'ConfigMap');
  const { data } = only(readObjects(`${folder}/configmap.yml`), 'ConfigMap');
  return {
    pod: { ...agentPod, containers: [changed], volumes: [...agentPod.volumes, ...patch.volumes] },
    configMap: { ...plain, data: { ...plain.data, ...data } },
  };
}
