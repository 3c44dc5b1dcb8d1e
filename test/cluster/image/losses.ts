// Lists everything that weft.yml gives the agent. Each is taken away from the agent's pod in turn.

import type { Container, PodSpec } from '../manifests/documents.ts';
import { agent, agentPod } from './manifest.ts';

export interface Loss {
  /** The pod as the manifest has it. */
  readonly name: string;
  readonly pod: PodSpec;
}

const mounts = agent.volumeMounts ?? [];
const capabilities = agent.securityContext['capabilities'] as { readonly drop: string[]; readonly add: string[] };

export const losses: readonly Loss[] = [
  ...capabilities.add.map((name) => ({ name: `capability ${name}`, pod: withoutCapability(name) })),
  ...mounts.map((lost) => ({
    name: `mount ${lost.mountPath}`,
    pod: withContainer({ volumeMounts: mounts.filter((mount) => mount !== lost) }),
  })),
  ...mounts.filter(({ mountPropagation }) => mountPropagation !== undefined).map(withoutPropagation),
  { name: 'service account', pod: { ...agentPod, automountServiceAccountToken: false } },
  { name: 'hostNetwork', pod: { ...agentPod, hostNetwork: false } },
];

export function withContainer(change: Partial<Container>): PodSpec {
  return { ...agentPod, containers: [{ ...agent, ...change }] };
}

function withoutCapability(name: string): PodSpec {
  const add = capabilities.add.filter((one) => one !== name);
  return withContainer({ securityContext: { ...agent.securityContext, capabilities: { ...capabilities, add } } });
}

function withoutPropagation(lost: (typeof mounts)[number]): Loss {
  const { mountPropagation, ...rest } = lost;
  const volumeMounts = mounts.map((mount) => (mount === lost ? rest : mount));
  return { name: `mountPropagation ${mountPropagation} of ${lost.mountPath}`, pod: withContainer({ volumeMounts }) };
}
