// The objects that the bench makes in a cluster. Everything namespaced is in a namespace of its own; everything else has that namespace's
// name. The only image is the given one.

import { restricted } from '../../scripts/deploy/restricted.mjs';

type Json = Readonly<Record<string, unknown>>;

const PORTS = { echo: 7001, first: 7002, sink: 7003, http: 7004 } as const;
/** A pod ends after this time, even if the run was killed. */
const DEADLINE_S = 3 * 3600;

/** A pod that runs a program of bench/cluster/pods by the Node of our image. */
export function podSpec(image: string, words: readonly string[], more: Json = {}, env: readonly Json[] = []): Json {
  return {
    terminationGracePeriodSeconds: 1,
    automountServiceAccountToken: false,
    restartPolicy: 'Never',
    activeDeadlineSeconds: DEADLINE_S,
    tolerations: [{ operator: 'Exists' }],
    containers: [
      {
        name: 'bench',
        image,
        imagePullPolicy: 'IfNotPresent',
        command: ['node', ...words],
        env,
        securityContext: restricted,
        volumeMounts: [{ name: 'program', mountPath: '/program', readOnly: true }],
      },
    ],
    volumes: [{ name: 'program', configMap: { name: 'program' } }],
    ...more,
  };
}

const ENFORCE = 'pod-security.kubernetes.io/enforce';
const RBAC = 'rbac.authorization.k8s.io/v1';

export function namespaceObject(name: string): Json {
  // The driver and one server have their node's network.
  return { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels: { [ENFORCE]: 'privileged' } } };
}

/**
 * The programs, and the driver's rights: pods and ConfigMaps of its namespace, the kubelets' metrics, removing the namespace. These rights
 * are in objects outside of the namespace, which the driver could not remove as well: after the first of them it would lack the right to
 * remove the other. So the namespace owns them, and the cluster's garbage collector removes them after it.
 */
export function baseObjects(namespace: string, uid: string, programs: Readonly<Record<string, string>>): Json[] {
  const metadata = {
    name: namespace,
    ownerReferences: [{ apiVersion: 'v1', kind: 'Namespace', name: namespace, uid }],
  };
  const subjects = [{ kind: 'ServiceAccount', name: 'driver', namespace }];
  const roleRef = (kind: string, name: string): Json => ({ apiGroup: 'rbac.authorization.k8s.io', kind, name });
  return [
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'driver', namespace } },
    {
      apiVersion: RBAC,
      kind: 'Role',
      metadata: { name: 'driver', namespace },
      rules: [
        { apiGroups: [''], resources: ['pods'], verbs: ['create', 'delete', 'get', 'list'] },
        { apiGroups: [''], resources: ['configmaps'], verbs: ['get', 'patch'] },
      ],
    },
    {
      apiVersion: RBAC,
      kind: 'RoleBinding',
      metadata: { name: 'driver', namespace },
      roleRef: roleRef('Role', 'driver'),
      subjects,
    },
    {
      apiVersion: RBAC,
      kind: 'ClusterRole',
      metadata,
      rules: [
        { apiGroups: [''], resources: ['nodes/metrics'], verbs: ['get'] },
        { apiGroups: [''], resources: ['namespaces'], resourceNames: [namespace], verbs: ['delete'] },
      ],
    },
    {
      apiVersion: RBAC,
      kind: 'ClusterRoleBinding',
      metadata,
      roleRef: roleRef('ClusterRole', namespace),
      subjects,
    },
    { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'program', namespace }, data: programs },
    { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'result', namespace }, data: {} },
    { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'heart', namespace }, data: { beat: '0' } },
  ];
}

export interface Places {
  readonly namespace: string;
  readonly image: string;
  readonly nearNode: string;
  readonly farNode: string;
}

/** The pods that serve: two on the near node, one on the far node, one on each node's own network; and the Service of the far one. */
export function serverObjects({ namespace, image, nearNode, farNode }: Places): Json[] {
  const pod = (name: string, nodeName: string, hostNetwork: boolean): Json => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace, labels: { server: name } },
    spec: podSpec(image, ['/program/serve.cjs', 'serve'], { nodeName, hostNetwork }),
  });
  const ports = [
    { name: 'echo', protocol: 'UDP', port: PORTS.echo },
    { name: 'sink', protocol: 'TCP', port: PORTS.sink },
  ];
  return [
    pod('near', nearNode, false),
    pod('beside', nearNode, false),
    pod('far', farNode, false),
    pod('near-host', nearNode, true),
    pod('far-host', farNode, true),
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'far', namespace },
      spec: { selector: { server: 'far' }, ports },
    },
  ];
}

/** The driver has its node's network, because it must reach the API server and a kubelet even where pods cannot. */
export function driverPod({ namespace, image, nearNode }: Places, setup: Json): Json {
  const more = {
    nodeName: nearNode,
    hostNetwork: true,
    serviceAccountName: 'driver',
    automountServiceAccountToken: true,
  };
  const env = [{ name: 'SETUP', value: JSON.stringify(setup) }];
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'driver', namespace },
    spec: podSpec(image, ['/program/driver.cjs'], more, env),
  };
}
