// flannel's manifest as data, for clusters in which flannel is replaced. It has what flannel's releases and its Helm chart have.

import type { KubeObject } from '../cluster/manifests/documents.ts';

/** The image of all its containers. */
export const FLANNEL_IMAGE = 'flannel:1';

interface FlannelOptions {
  /** The name of the DaemonSet. flannel has released two different ones. */
  readonly selector: Readonly<Record<string, string>>;
  /** The texts of `cni-conf.json` and `net-conf.json`. */
  readonly config: Readonly<Record<string, string>>;
}

const RBAC = 'rbac.authorization.k8s.io/v1';
const rules = [
  { apiGroups: [''], resources: ['pods'], verbs: ['get'] },
  { apiGroups: [''], resources: ['nodes'], verbs: ['get', 'list', 'watch'] },
  { apiGroups: [''], resources: ['nodes/status'], verbs: ['patch'] },
];

/** Returns flannel's manifest as it was released, with its names, labels, init containers, mounts and rights. */
export function flannelObjects({ selector, config }: FlannelOptions): KubeObject[] {
  const namespace = 'kube-flannel';
  const labels = { tier: 'node', app: 'flannel', 'k8s-app': 'flannel' };
  const name = 'kube-flannel-ds';
  const spec = { selector: { matchLabels: selector }, template: { metadata: { labels }, spec: flannelPod() } };
  const objects = [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace, labels: { 'k8s-app': 'flannel' } } },
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'flannel', namespace } },
    { apiVersion: RBAC, kind: 'ClusterRole', metadata: { name: 'flannel' }, rules },
    {
      apiVersion: RBAC,
      kind: 'ClusterRoleBinding',
      metadata: { name: 'flannel' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'flannel' },
      subjects: [{ kind: 'ServiceAccount', name: 'flannel', namespace }],
    },
    {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'kube-flannel-cfg', namespace, labels },
      data: config,
    },
    { apiVersion: 'apps/v1', kind: 'DaemonSet', metadata: { name, namespace, labels }, spec },
  ];
  return objects as unknown as KubeObject[];
}

function flannelPod(): object {
  const hostPath = (name: string, path: string, type?: string): object => ({
    name,
    hostPath: { path, ...(type && { type }) },
  });
  return {
    affinity: {
      nodeAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: {
          nodeSelectorTerms: [{ matchExpressions: [{ key: 'kubernetes.io/os', operator: 'In', values: ['linux'] }] }],
        },
      },
    },
    hostNetwork: true,
    priorityClassName: 'system-node-critical',
    tolerations: [{ operator: 'Exists', effect: 'NoSchedule' }],
    serviceAccountName: 'flannel',
    initContainers: [
      {
        name: 'install-cni-plugin',
        image: FLANNEL_IMAGE,
        command: ['cp'],
        args: ['-f', '/flannel', '/opt/cni/bin/flannel'],
        volumeMounts: [{ name: 'cni-plugin', mountPath: '/opt/cni/bin' }],
      },
      {
        name: 'install-cni',
        image: FLANNEL_IMAGE,
        command: ['cp'],
        args: ['-f', '/etc/kube-flannel/cni-conf.json', '/etc/cni/net.d/10-flannel.conflist'],
        volumeMounts: [
          { name: 'cni', mountPath: '/etc/cni/net.d' },
          { name: 'flannel-cfg', mountPath: '/etc/kube-flannel/' },
        ],
      },
    ],
    containers: [
      {
        name: 'kube-flannel',
        image: FLANNEL_IMAGE,
        command: ['/opt/bin/flanneld'],
        args: ['--ip-masq', '--kube-subnet-mgr'],
        resources: { requests: { cpu: '100m', memory: '50Mi' } },
        securityContext: { privileged: false, capabilities: { add: ['NET_ADMIN', 'NET_RAW'] } },
        env: [
          { name: 'POD_NAME', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
          { name: 'POD_NAMESPACE', valueFrom: { fieldRef: { fieldPath: 'metadata.namespace' } } },
          { name: 'EVENT_QUEUE_DEPTH', value: '5000' },
        ],
        volumeMounts: [
          { name: 'run', mountPath: '/run/flannel' },
          { name: 'flannel-cfg', mountPath: '/etc/kube-flannel/' },
          { name: 'xtables-lock', mountPath: '/run/xtables.lock' },
        ],
      },
    ],
    volumes: [
      hostPath('run', '/run/flannel'),
      hostPath('cni-plugin', '/opt/cni/bin'),
      hostPath('cni', '/etc/cni/net.d'),
      { name: 'flannel-cfg', configMap: { name: 'kube-flannel-cfg' } },
      hostPath('xtables-lock', '/run/xtables.lock', 'FileOrCreate'),
    ],
  };
}
