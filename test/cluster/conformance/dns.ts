// CoreDNS as clusters run it: a Deployment, its rights, its configuration, and the Service at the address that the kubelet gives to pods.

import { DNS_SERVICE_IP } from '../kubelet/kubelet-node.ts';
import type { KubeObject } from '../manifests/documents.ts';
import { DNS_IMAGE } from './e2e-images.ts';

export const DNS_NAMESPACE = 'kube-system';
export const DNS_NAME = 'coredns';
const labels = { 'k8s-app': 'kube-dns' };
const RBAC = 'rbac.authorization.k8s.io/v1';

// There is no other name server, so names outside the cluster do not exist.
const corefile = `cluster.local in-addr.arpa ip6.arpa {
  errors
  health
  ready
  kubernetes {
    pods insecure
  }
}
. {
  template ANY ANY {
    rcode NXDOMAIN
  }
}
`;

const rules = [
  { apiGroups: [''], resources: ['services', 'pods', 'namespaces'], verbs: ['list', 'watch'] },
  { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: ['list', 'watch'] },
];

const pod = {
  metadata: { labels },
  spec: {
    serviceAccountName: DNS_NAME,
    dnsPolicy: 'Default',
    priorityClassName: 'system-cluster-critical',
    containers: [
      {
        name: DNS_NAME,
        image: DNS_IMAGE,
        imagePullPolicy: 'Never',
        args: ['-conf', '/etc/coredns/Corefile'],
        readinessProbe: { httpGet: { path: '/ready', port: 8181 }, periodSeconds: 1 },
        volumeMounts: [{ name: 'config', mountPath: '/etc/coredns' }],
      },
    ],
    volumes: [{ name: 'config', configMap: { name: DNS_NAME } }],
  },
};

export function dnsObjects(): KubeObject[] {
  const metadata = { name: DNS_NAME, namespace: DNS_NAMESPACE };
  const port = (protocol: string): object => ({ name: `dns-${protocol.toLowerCase()}`, port: 53, protocol });
  const objects = [
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata },
    { apiVersion: RBAC, kind: 'ClusterRole', metadata: { name: 'system:coredns' }, rules },
    {
      apiVersion: RBAC,
      kind: 'ClusterRoleBinding',
      metadata: { name: 'system:coredns' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'system:coredns' },
      subjects: [{ kind: 'ServiceAccount', ...metadata }],
    },
    { apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { Corefile: corefile } },
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { ...metadata, labels },
      spec: { replicas: 1, selector: { matchLabels: labels }, template: pod },
    },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'kube-dns', namespace: DNS_NAMESPACE, labels },
      spec: { clusterIP: DNS_SERVICE_IP, selector: labels, ports: [port('UDP'), port('TCP')] },
    },
  ];
  return objects as unknown as KubeObject[];
}
