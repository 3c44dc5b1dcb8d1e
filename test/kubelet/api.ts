// What the checks ask of the cluster: nodes, pods, and objects to run.

import type { KubeApiserver } from '../support/kube-apiserver.ts';

export interface NodeObject {
  readonly metadata: { readonly name: string };
  readonly spec: { readonly podCIDR?: string; readonly taints?: readonly { readonly key: string }[] };
  readonly status: { readonly conditions: readonly { readonly type: string; readonly status: string }[] };
}

export interface PodObject {
  readonly metadata: { readonly name: string };
  readonly spec: { readonly nodeName?: string };
  readonly status: {
    readonly phase?: string;
    readonly podIP?: string;
    readonly conditions?: NodeObject['status']['conditions'];
    readonly containerStatuses?: readonly { readonly containerID: string }[];
  };
}

const PODS = '/api/v1/namespaces/default/pods';
const APPS = '/apis/apps/v1/namespaces/default';

export async function listNodes({ must }: KubeApiserver): Promise<NodeObject[]> {
  return (await must({ path: '/api/v1/nodes' })).body['items'] as NodeObject[];
}

export async function listPods({ must }: KubeApiserver, app: string): Promise<PodObject[]> {
  return (await must({ path: `${PODS}?labelSelector=app%3D${app}` })).body['items'] as PodObject[];
}

export function isTrue({ status }: NodeObject | PodObject, type: string): boolean {
  return status.conditions?.some((condition) => condition.type === type && condition.status === 'True') === true;
}

/** The runtime's name of a pod's only container. */
export function containerOf({ metadata, status }: PodObject): string {
  const id = status.containerStatuses?.[0]?.containerID.replace('containerd://', '');
  if (id === undefined) throw new Error(`pod ${metadata.name} has no container`);
  return id;
}

/** A web server in every pod, which kubelet asks whether it is ready. */
function template(app: string, image: string): object {
  const container = {
    name: 'web',
    image,
    imagePullPolicy: 'Never',
    command: ['/bin/sh', '-c', 'hostname >/www/index.html && exec httpd -f -p 80 -h /www'],
    readinessProbe: { httpGet: { path: '/', port: 80 }, periodSeconds: 1 },
  };
  return {
    metadata: { labels: { app } },
    spec: { containers: [container], automountServiceAccountToken: false, terminationGracePeriodSeconds: 0 },
  };
}

export async function createWorkload(
  { must }: KubeApiserver,
  kind: 'DaemonSet' | 'Deployment',
  app: string,
  image: string,
  more: object = {},
): Promise<void> {
  const spec = { selector: { matchLabels: { app } }, template: template(app, image), ...more };
  await must({
    path: `${APPS}/${kind.toLowerCase()}s`,
    body: { apiVersion: 'apps/v1', kind, metadata: { name: app }, spec },
  });
}

export async function deleteWorkload(
  { must }: KubeApiserver,
  kind: 'DaemonSet' | 'Deployment',
  app: string,
): Promise<void> {
  await must({ method: 'DELETE', path: `${APPS}/${kind.toLowerCase()}s/${app}?propagationPolicy=Foreground` });
}

export async function scale({ must }: KubeApiserver, app: string, replicas: number): Promise<void> {
  await must({
    method: 'PATCH',
    path: `${APPS}/deployments/${app}`,
    contentType: 'application/merge-patch+json',
    body: { spec: { replicas } },
  });
}
