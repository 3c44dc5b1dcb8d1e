// Requests to the cluster's API server that the checks need: nodes, pods, and workloads to run.

import type { KubeApiserver } from '../../support/kube-apiserver.ts';
import { applyCall } from '../../support/kube-objects.ts';
import type { JsonObject, KubeObject } from '../manifests/documents.ts';

interface Condition {
  readonly type: string;
  readonly status: string;
}

export interface NodeObject {
  readonly metadata: { readonly name: string };
  readonly spec: { readonly podCIDR?: string; readonly taints?: readonly { readonly key: string }[] };
  readonly status: { readonly conditions: readonly Condition[] };
}

export interface PodObject {
  readonly metadata: { readonly name: string };
  readonly spec: { readonly nodeName?: string };
  readonly status: {
    readonly podIP?: string;
    readonly conditions?: readonly Condition[];
    readonly containerStatuses?: readonly { readonly containerID: string }[];
  };
}

interface DaemonSetObject {
  readonly metadata: { readonly generation: number };
  readonly status: Readonly<Record<string, number | undefined>>;
}

export const HOST_PORT = 8080;
const APPS = '/apis/apps/v1/namespaces';
const MERGE = 'application/merge-patch+json';

export async function listNodes({ must }: KubeApiserver): Promise<NodeObject[]> {
  return (await must({ path: '/api/v1/nodes' })).body['items'] as NodeObject[];
}

/** Pods of the default namespace. */
export async function listPods({ must }: KubeApiserver, app: string): Promise<PodObject[]> {
  const path = `/api/v1/namespaces/default/pods?labelSelector=app%3D${app}`;
  return (await must({ path })).body['items'] as PodObject[];
}

export function isTrue({ status }: NodeObject | PodObject, type: string): boolean {
  return status.conditions?.some((condition) => condition.type === type && condition.status === 'True') === true;
}

/** The id that the runtime gave to the pod's only container. */
export function containerOf({ metadata, status }: PodObject): string {
  const id = status.containerStatuses?.[0]?.containerID.replace('containerd://', '');
  if (id === undefined) throw new Error(`pod ${metadata.name} has no container`);
  return id;
}

/** The template of a pod with a web server. Kubelet probes the server to find out whether the pod is ready. */
function template(app: string, image: string, ports: readonly JsonObject[]): object {
  const container = {
    name: 'web',
    image,
    imagePullPolicy: 'Never',
    command: ['/bin/sh', '-c', 'hostname >/www/index.html && exec httpd -f -p 80 -h /www'],
    ports,
    readinessProbe: { httpGet: { path: '/', port: 80 }, periodSeconds: 1 },
  };
  return {
    metadata: { labels: { app } },
    spec: { containers: [container], automountServiceAccountToken: false, terminationGracePeriodSeconds: 0 },
  };
}

/** Creates a DaemonSet whose pods serve their names, also at HOST_PORT of their nodes. */
export async function createDaemonSet({ must }: KubeApiserver, app: string, image: string): Promise<void> {
  const ports = [{ containerPort: 80, hostPort: HOST_PORT }];
  const spec = { selector: { matchLabels: { app } }, template: template(app, image, ports) };
  await must({ path: `${APPS}/default/daemonsets`, body: { metadata: { name: app }, spec } });
}

export async function createDeployment(
  { must }: KubeApiserver,
  app: string,
  image: string,
  replicas: number,
): Promise<void> {
  const spec = { replicas, selector: { matchLabels: { app } }, template: template(app, image, []) };
  await must({ path: `${APPS}/default/deployments`, body: { metadata: { name: app }, spec } });
}

export async function scale({ must }: KubeApiserver, app: string, replicas: number): Promise<void> {
  const path = `${APPS}/default/deployments/${app}`;
  await must({ method: 'PATCH', path, contentType: MERGE, body: { spec: { replicas } } });
}

/** Deletes a workload. Its pods are deleted first. */
export async function deleteWorkload(
  { must }: KubeApiserver,
  kind: 'daemonsets' | 'deployments',
  name: string,
  namespace = 'default',
): Promise<void> {
  await must({ method: 'DELETE', path: `${APPS}/${namespace}/${kind}/${name}?propagationPolicy=Foreground` });
}

/** `kubectl apply --server-side`. */
export async function apply({ must }: KubeApiserver, objects: readonly KubeObject[]): Promise<void> {
  for (const object of objects) await must(applyCall(object, false));
}

/** `kubectl rollout restart`. */
export async function restartRollout({ must }: KubeApiserver, namespace: string, name: string): Promise<void> {
  const metadata = { annotations: { 'kubectl.kubernetes.io/restartedAt': new Date().toISOString() } };
  const path = `${APPS}/${namespace}/daemonsets/${name}`;
  await must({ method: 'PATCH', path, contentType: MERGE, body: { spec: { template: { metadata } } } });
}

/** `kubectl rollout status`: whether every pod is of the newest template, and available. */
export async function isRolledOut({ must }: KubeApiserver, namespace: string, name: string): Promise<boolean> {
  const { body } = await must({ path: `${APPS}/${namespace}/daemonsets/${name}` });
  const { metadata, status } = body as unknown as DaemonSetObject;
  const wanted = status['desiredNumberScheduled'] ?? 0;
  return (
    status['observedGeneration'] === metadata.generation &&
    wanted > 0 &&
    status['updatedNumberScheduled'] === wanted &&
    status['numberAvailable'] === wanted
  );
}
