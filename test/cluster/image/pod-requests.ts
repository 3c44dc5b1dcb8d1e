// Turns a pod specification of the manifests into the requests that kubelet would send to the runtime (Container Runtime
// Interface). A field that this file does not know is an error; otherwise the manifests could contain something that no test tries.

import { randomUUID } from 'node:crypto';
import { CGROUP_PARENT } from '../containerd/cgroups.ts';
import type { ContainerConfig, ContainerSecurity, Mount, SandboxConfig, SecurityProfile } from '../containerd/cri.ts';
import type { Container, JsonObject, PodSpec } from '../manifests/documents.ts';

/** The folder in which kubelet keeps the pods' volumes. */
export interface PodPlace {
  readonly nodeName: string;
  /** The path on the host for each volume, by the volume's name. */
  readonly volumes: ReadonlyMap<string, string>;
  /**
   * The path on the host of the folder with the service account's token, authority and namespace; undefined where the pod gets
   * none.
   */
  readonly account: string | undefined;
  /** Kubernetes sets these variables in every container. They say where the API server is. */
  readonly env: Readonly<Record<string, string>>;
}

const ACCOUNT_FOLDER = '/var/run/secrets/kubernetes.io/serviceaccount';
const SECURITY_FIELDS = [
  'privileged',
  'allowPrivilegeEscalation',
  'readOnlyRootFilesystem',
  'capabilities',
  'seccompProfile',
  'runAsUser',
  'runAsNonRoot',
];
// Every container that is not privileged gets these paths masked or read-only (Kubernetes, pkg/securitycontext/util.go).
const MASKED = ['asound', 'acpi', 'kcore', 'keys', 'latency_stats', 'timer_list', 'timer_stats', 'sched_debug', 'scsi'];
const READ_ONLY = ['bus', 'fs', 'irq', 'sys', 'sysrq-trigger'];

export function sandboxRequest(name: string, pod: PodSpec, logDirectory: string): SandboxConfig {
  const network = pod.hostNetwork === true ? 'NODE' : 'POD';
  return {
    metadata: { name, uid: randomUUID(), namespace: 'weft' },
    // A pod in the node's own network has the node's host name.
    hostname: network === 'NODE' ? '' : name,
    logDirectory,
    portMappings: [],
    linux: {
      cgroupParent: CGROUP_PARENT,
      securityContext: {
        namespaceOptions: { network, pid: 'CONTAINER' },
        seccomp: { profileType: 'RuntimeDefault' },
      },
    },
  };
}

/** `attempt` counts restarts. Throws when the specification has a field that this file does not know. */
export function containerRequest(
  pod: PodSpec,
  container: Container,
  place: PodPlace,
  attempt: number,
): ContainerConfig {
  return {
    metadata: { name: container.name, attempt },
    image: { image: container.image },
    command: container.command,
    args: container.args ?? [],
    envs: environment(container, place),
    mounts: mounts(container, place),
    logPath: `${container.name}-${attempt}.log`,
    linux: { securityContext: security(pod, container.securityContext) },
  };
}

function environment({ env = [] }: Container, place: PodPlace): { key: string; value: string }[] {
  const own = env.map(({ name, value, valueFrom }) => {
    const field = valueFrom?.fieldRef.fieldPath;
    if (field !== undefined && field !== 'spec.nodeName') throw new Error(`env ${name}: unknown field ${field}`);
    return { key: name, value: field === undefined ? (value ?? '') : place.nodeName };
  });
  return [...Object.entries(place.env).map(([key, value]) => ({ key, value })), ...own];
}

function mounts({ volumeMounts = [] }: Container, place: PodPlace): Mount[] {
  const own = volumeMounts.map(({ name, mountPath, readOnly = false, mountPropagation = 'None' }): Mount => {
    const hostPath = place.volumes.get(name);
    if (hostPath === undefined) throw new Error(`volumeMount ${name}: no such volume`);
    return { containerPath: mountPath, hostPath, readonly: readOnly, propagation: propagation(mountPropagation) };
  });
  if (place.account === undefined) return own;
  const account = { containerPath: ACCOUNT_FOLDER, hostPath: place.account, readonly: true };
  return [...own, { ...account, propagation: propagation('None') }];
}

function propagation(name: string): Mount['propagation'] {
  switch (name) {
    case 'None':
      return 'PROPAGATION_PRIVATE';
    case 'HostToContainer':
      return 'PROPAGATION_HOST_TO_CONTAINER';
    case 'Bidirectional':
      return 'PROPAGATION_BIDIRECTIONAL';
    default:
      throw new Error(`mountPropagation: unknown ${name}`);
  }
}

function security(pod: PodSpec, context: JsonObject): ContainerSecurity {
  const unknown = Object.keys(context).find((key) => !SECURITY_FIELDS.includes(key));
  if (unknown !== undefined) throw new Error(`securityContext: unknown field ${unknown}`);
  const { drop = [], add = [] } = (context['capabilities'] ?? {}) as { drop?: string[]; add?: string[] };
  const { type = 'Unconfined' } = (context['seccompProfile'] ?? {}) as { type?: SecurityProfile['profileType'] };
  const user = context['runAsUser'];
  return {
    capabilities: { addCapabilities: add, dropCapabilities: drop },
    privileged: context['privileged'] === true,
    namespaceOptions: { network: pod.hostNetwork === true ? 'NODE' : 'POD', pid: 'CONTAINER' },
    ...(typeof user === 'number' ? { runAsUser: { value: user } } : {}),
    readonlyRootfs: context['readOnlyRootFilesystem'] === true,
    noNewPrivs: context['allowPrivilegeEscalation'] === false,
    maskedPaths: [...MASKED.map((name) => `/proc/${name}`), '/sys/firmware'],
    readonlyPaths: READ_ONLY.map((name) => `/proc/${name}`),
    seccomp: { profileType: type },
  };
}
