// The pod of weft.yml's DaemonSet, and what kustomize makes of it.

import { agentContainer, type KubeObject, only, type PodSpec, podSpec, readObjects } from '../manifests/documents.ts';

export const objects = readObjects('weft.yml');
export const agentPod = podSpec(objects);
export const agent = agentContainer(objects);
/** The name of the second version of the image. The manifest names the first. */
export const OTHER_IMAGE = `${agent.image}-other`;

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
