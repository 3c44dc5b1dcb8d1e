// Lists everything that weft.yml gives the agent. Each is taken away from the agent's pod in turn.

import type { Container, PodSpec } from '../manifests/documents.ts';
import { agent, agentPod, withFastPath } from './manifest.ts';

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

const fastPathPod = withFastPath();

/** What the component fast-path adds; each is taken away in turn. */
export const fastPathLosses: readonly Loss[] = [
  { name: 'nothing', pod: fastPathPod },
  { name: 'container load-fast-path', pod: { ...fastPathPod, initContainers: [] } },
  { name: 'capability SYS_ADMIN of load-fast-path', pod: withLoader({ add: ['NET_ADMIN'] }) },
  {
    name: 'capability BPF',
    pod: withAgent(({ securityContext }) => ({ securityContext: withoutBpf(securityContext) })),
  },
  {
    name: 'mount /sys/fs/bpf',
    pod: withAgent(({ volumeMounts = [] }) => ({ volumeMounts: volumeMounts.filter(({ name }) => name !== 'bpf') })),
  },
];

function withLoader({ add }: { readonly add: string[] }): PodSpec {
  const initContainers = (fastPathPod.initContainers ?? []).map((container) => ({
    ...container,
    securityContext: { ...container.securityContext, capabilities: { drop: ['ALL'], add } },
  }));
  return { ...fastPathPod, initContainers };
}

function withAgent(change: (container: Container) => Partial<Container>): PodSpec {
  const containers = fastPathPod.containers.map((container) => ({ ...container, ...change(container) }));
  return { ...fastPathPod, containers };
}

function withoutBpf(context: Container['securityContext']): Container['securityContext'] {
  return { ...context, capabilities: { drop: ['ALL'], add: ['NET_ADMIN'] } };
}
