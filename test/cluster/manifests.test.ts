// The deployment files before a real kube-apiserver: every object is posted as a server-side dry run with strict field
// validation, through admission (pod security included), and the rights are asked for as the agent's own account.

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { asKubeObjects, type KubeObject, manifests, parseYaml, podSpec, readObjects } from '../manifests/documents.ts';
import { findProgram, runProgram } from '../manifests/find-program.ts';
import { type ApiAnswer, type KubeApiserver, missingApiserver, startKubeApiserver } from '../support/kube-apiserver.ts';
import { needs } from '../support/needs.ts';

const PATHS: Readonly<Record<string, string>> = {
  Namespace: '/api/v1/namespaces',
  ServiceAccount: '/api/v1/namespaces/NAMESPACE/serviceaccounts',
  ConfigMap: '/api/v1/namespaces/NAMESPACE/configmaps',
  ClusterRole: '/apis/rbac.authorization.k8s.io/v1/clusterroles',
  ClusterRoleBinding: '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings',
  DaemonSet: '/apis/apps/v1/namespaces/NAMESPACE/daemonsets',
};
const DRY_RUN = '?dryRun=All&fieldValidation=Strict';
const START_MS = 120_000;

const kubectl = findProgram('kubectl');
const helm = findProgram('helm');
let server: KubeApiserver | undefined;

beforeAll(async () => {
  if (missingApiserver() === undefined) server = await startKubeApiserver();
}, START_MS);
afterAll(async () => await server?.stop());
beforeEach(() => needs.machine(server !== undefined, missingApiserver() ?? 'a kube-apiserver'));

function api(): KubeApiserver {
  if (server === undefined) throw new Error('no server');
  return server;
}

async function post(object: KubeObject, query: string): Promise<ApiAnswer> {
  const path = (PATHS[object.kind] ?? '').replace('NAMESPACE', object.metadata.namespace ?? '');
  return await api().call({ path: path + query, body: object });
}

/** The namespace must be there for what is in it; everything else is a dry run. Returns what was refused, and why. */
async function refusals(objects: readonly KubeObject[]): Promise<string[]> {
  const refused: string[] = [];
  for (const object of objects) {
    const answer = await post(object, object.kind === 'Namespace' ? '?fieldValidation=Strict' : DRY_RUN);
    if (answer.status === 201 || (object.kind === 'Namespace' && answer.status === 409)) continue;
    refused.push(`${object.kind} ${object.metadata.name}: ${answer.status} ${String(answer.body['message'])}`);
  }
  return refused;
}

function kustomized(folder: string): KubeObject[] {
  needs.machine(kubectl !== undefined, 'kubectl on PATH');
  return asKubeObjects(parseYaml(runProgram(kubectl ?? '', ['kustomize', `${manifests}/kustomize/${folder}`]), folder));
}

function rendered(namespace: string, set: readonly string[]): KubeObject[] {
  needs.machine(helm !== undefined, 'helm on PATH');
  const options = ['--namespace', namespace, '--kube-version', '1.36.0', ...set.flatMap((one) => ['--set', one])];
  return asKubeObjects(
    parseYaml(runProgram(helm ?? '', ['template', 'x', `${manifests}/helm/weft`, ...options]), 'chart'),
  );
}

describe('a real API server takes', () => {
  test('weft.yml and cleanup.yml', async () => {
    expect(await refusals([...readObjects('weft.yml'), ...readObjects('cleanup.yml')])).toEqual([]);
  });

  test.for(['base', 'overlays/dual-stack', 'overlays/replace-flannel', 'overlays/replace-flannel-release'])(
    'kustomize/%s',
    async (folder) => {
      expect(await refusals(kustomized(folder))).toEqual([]);
    },
  );

  test.for([
    { namespace: 'weft', set: [] },
    { namespace: 'kube-flannel', set: ['replaceFlannel=true'] },
    { namespace: 'weft', set: ['podCidrv6=fd00:10:244::/56', 'flannel.vni=16777215', 'flannel.GBP=true'] },
    { namespace: 'weft', set: ['flannel.healthz.port=0', 'global.imagePullSecrets[0].name=registry'] },
  ])('the chart in $namespace with $set', async ({ namespace, set }) => {
    await api().call({ path: '/api/v1/namespaces', body: { metadata: { name: namespace } } });
    expect(await refusals(rendered(namespace, set))).toEqual([]);
  });

  test('no field that does not exist, or this test could not fail', async () => {
    const objects = structuredClone(readObjects('weft.yml')) as { kind: string; spec?: Record<string, unknown> }[];
    for (const object of objects)
      if (object.kind === 'DaemonSet') Object.assign(object.spec ?? {}, { tolerations: [] });
    expect(await refusals(objects as unknown as KubeObject[])).toEqual([
      expect.stringContaining('unknown field "spec.tolerations"'),
    ]);
  });
});

describe('pod security', () => {
  const pod = (namespace: string, spec: unknown): KubeObject =>
    ({ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'agent', namespace }, spec }) as KubeObject;

  async function admitted(namespace: string, level: string): Promise<ApiAnswer> {
    const labels = { 'pod-security.kubernetes.io/enforce': level };
    await api().call({ path: '/api/v1/namespaces', body: { metadata: { name: namespace, labels } } });
    const account = { metadata: { name: 'weft', namespace } };
    await api().call({ path: `/api/v1/namespaces/${namespace}/serviceaccounts`, body: account });
    // Priority classes of the system are for kube-system or a quota; the scheduler is not what is asked here.
    const { priorityClassName: _, ...spec } = podSpec(readObjects('weft.yml'));
    return await api().call({ path: `/api/v1/namespaces/${namespace}/pods${DRY_RUN}`, body: pod(namespace, spec) });
  }

  test('lets the agent’s pod into a namespace labelled as ours', async () => {
    const { status, body } = await admitted('labelled', 'privileged');
    expect([status, body['message']]).toEqual([201, undefined]);
  });

  test('refuses it elsewhere for the host’s network and folders only, not for what its container asks', async () => {
    const { status, body } = await admitted('strict', 'baseline');
    expect(status).toBe(403);
    const message = String(body['message']);
    expect(message).toContain('host namespaces (hostNetwork=true)');
    expect(message).toContain('hostPath volumes');
    // NET_ADMIN is beyond the baseline, and all that is.
    expect(message).toMatch(/capabilities \(container "flanneld" must not include "NET_ADMIN"/);
    expect(message).not.toMatch(/privileged \(|allowPrivilegeEscalation|seccompProfile|runAsNonRoot/);
  });
});

describe('the agent’s account', () => {
  const account = 'system:serviceaccount:weft:weft';

  beforeAll(async () => {
    if (server === undefined) return;
    for (const object of readObjects('weft.yml')) if (object.kind !== 'DaemonSet') await post(object, '');
  });

  async function may(verb: string, resource: string, subresource = '', group = ''): Promise<unknown> {
    const resourceAttributes = { verb, resource, subresource, group, namespace: 'kube-system' };
    const { body } = await api().call({
      path: '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews',
      body: { spec: { resourceAttributes } },
      as: account,
    });
    return (body['status'] as { allowed?: boolean }).allowed;
  }

  test.for([
    { verb: 'get', resource: 'nodes' },
    { verb: 'list', resource: 'nodes' },
    { verb: 'watch', resource: 'nodes' },
    { verb: 'patch', resource: 'nodes', subresource: 'status' },
    { verb: 'create', resource: 'events' },
  ])('may $verb $resource $subresource', async ({ verb, resource, subresource }) => {
    expect(await may(verb, resource, subresource)).toBe(true);
  });

  test.for([
    { verb: 'patch', resource: 'nodes' },
    { verb: 'update', resource: 'nodes' },
    { verb: 'delete', resource: 'nodes' },
    { verb: 'get', resource: 'pods' },
    { verb: 'get', resource: 'secrets' },
    { verb: 'get', resource: 'configmaps' },
    { verb: 'create', resource: 'pods' },
    { verb: 'list', resource: 'namespaces' },
    { verb: 'create', resource: 'tokenreviews', group: 'authentication.k8s.io' },
  ])('may not $verb $resource', async ({ verb, resource, group }) => {
    expect(await may(verb, resource, '', group)).toBe(false);
  });
});

describe('flannel’s DaemonSet', () => {
  test.for([
    { overlay: 'replace-flannel', selector: { app: 'flannel' }, fits: true },
    { overlay: 'replace-flannel', selector: { app: 'flannel', 'k8s-app': 'flannel' }, fits: false },
    { overlay: 'replace-flannel-release', selector: { app: 'flannel', 'k8s-app': 'flannel' }, fits: true },
    { overlay: 'replace-flannel-release', selector: { app: 'flannel' }, fits: false },
  ])('with selector $selector becomes ours by $overlay: $fits', async ({ overlay, selector, fits }, { task }) => {
    // A namespace of its own a case: what is tried here is really written.
    const namespace = `replaced-${task.id.replaceAll('_', '-')}`.slice(0, 60).replace(/-$/, '');
    await api().must({ path: '/api/v1/namespaces', body: { metadata: { name: namespace } } });
    const path = `/apis/apps/v1/namespaces/${namespace}/daemonsets`;
    await api().must({ path, body: flannelDaemonSet(selector) });
    const ours = kustomized(`overlays/${overlay}`).find(({ kind }) => kind === 'DaemonSet');
    const { status, body } = await api().call({
      method: 'PATCH',
      path: `${path}/kube-flannel-ds?fieldManager=test&force=true&fieldValidation=Strict`,
      contentType: 'application/apply-patch+yaml',
      body: { ...ours, metadata: { ...ours?.metadata, namespace } },
    });
    expect([status, String(body['message'] ?? '')]).toEqual(
      fits ? [200, ''] : [422, expect.stringContaining('field is immutable')],
    );
  });
});

/** What matters of flannel's own: names, labels, selector, a container. */
function flannelDaemonSet(selector: Record<string, string>): unknown {
  const labels = { tier: 'node', app: 'flannel', 'k8s-app': 'flannel' };
  const container = {
    name: 'kube-flannel',
    image: 'flannel',
    command: ['/opt/bin/flanneld'],
    args: ['--kube-subnet-mgr'],
  };
  return {
    apiVersion: 'apps/v1',
    kind: 'DaemonSet',
    metadata: { name: 'kube-flannel-ds', labels },
    spec: {
      selector: { matchLabels: selector },
      template: { metadata: { labels }, spec: { containers: [container] } },
    },
  };
}
