// Tests the deployment files on a real kube-apiserver. Every object is posted as a server-side dry run with strict field validation
// and goes through admission (pod security included). The agent's rights are tried with its own account.

import { readdirSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import {
  type ApiAnswer,
  type KubeApiserver,
  missingApiserver,
  startKubeApiserver,
} from '../../support/kube-apiserver.ts';
import { applyCall } from '../../support/kube-objects.ts';
import { needs } from '../../support/needs.ts';
import { asKubeObjects, type KubeObject, manifests, parseYaml, podSpec, readObjects } from '../manifests/documents.ts';
import { findProgram, runProgram } from '../manifests/find-program.ts';

const START_MS = 180_000;

const kubectl = findProgram('kubectl');
const helm = findProgram('helm');
let server: KubeApiserver | undefined;

beforeAll(async () => {
  if (missingApiserver() === undefined) server = await startKubeApiserver();
}, START_MS);
afterAll(async () => await server?.stop());
beforeEach(() => needs.machine(missingApiserver() === undefined, missingApiserver() ?? ''));

interface Answer {
  readonly status: number;
  readonly message: string;
  readonly body: Record<string, unknown>;
}

/** Calls the server as the administrator, who may act as another user. */
async function call(
  method: 'POST' | 'PATCH',
  path: string,
  body: unknown,
  options: { readonly contentType?: string; readonly as?: string } = {},
): Promise<Answer> {
  return answerOf(await server?.call({ method, path, body, ...options }));
}

function answerOf(answer: ApiAnswer | undefined): Answer {
  if (answer === undefined) throw new Error('kube-apiserver did not start');
  return { ...answer, message: String(answer.body['message'] ?? '') };
}

async function apply(object: KubeObject, dryRun: boolean): Promise<Answer> {
  return answerOf(await server?.call(applyCall(object, dryRun)));
}

async function makeNamespace(name: string, labels: Record<string, string> = {}): Promise<void> {
  await apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } }, false);
}

/** Applies the objects and returns which were refused, and why. A dry run, except for the namespace, which the others need. */
async function refusals(objects: readonly KubeObject[]): Promise<string[]> {
  const refused: string[] = [];
  for (const object of objects) {
    const { status, message } = await apply(object, object.kind !== 'Namespace');
    if (status !== 200 && status !== 201) refused.push(`${object.kind} ${object.metadata.name}: ${status} ${message}`);
  }
  return refused;
}

function kustomized(folder: string): KubeObject[] {
  needs.machine(kubectl !== undefined, 'kubectl on PATH');
  return asKubeObjects(parseYaml(runProgram(kubectl ?? '', ['kustomize', `${manifests}/kustomize/${folder}`]), folder));
}

function rendered(namespace: string, set: readonly string[]): KubeObject[] {
  needs.machine(helm !== undefined, 'helm on PATH');
  const apis = ['--api-versions', 'admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy'];
  const options = [
    '--namespace',
    namespace,
    '--kube-version',
    '1.36.0',
    ...apis,
    ...set.flatMap((one) => ['--set', one]),
  ];
  return asKubeObjects(
    parseYaml(runProgram(helm ?? '', ['template', 'x', `${manifests}/helm/weft`, ...options]), 'chart'),
  );
}

describe('a real API server takes', () => {
  test('weft.yml and cleanup.yml, with weft-policy.yml', async () => {
    const objects = ['weft.yml', 'weft-policy.yml', 'cleanup.yml'].flatMap(readObjects);
    expect(await refusals(objects)).toEqual([]);
  });

  const overlays = readdirSync(`${manifests}/kustomize/overlays`).map((name) => `overlays/${name}`);
  test.for(['base', ...overlays])('kustomize/%s', async (folder) => {
    expect(await refusals(kustomized(folder))).toEqual([]);
  });

  test.for([
    { namespace: 'weft', set: [] },
    { namespace: 'kube-flannel', set: ['replaceFlannel=true'] },
    { namespace: 'weft', set: ['podCidrv6=fd00:10:244::/56', 'flannel.vni=16777215', 'flannel.GBP=true'] },
    { namespace: 'weft', set: ['flannel.enableNFTables=false', 'flannel.backend=host-gw'] },
    { namespace: 'weft', set: ['flannel.healthz.port=0', 'global.imagePullSecrets[0].name=registry'] },
  ])('the chart in $namespace with $set', async ({ namespace, set }) => {
    await makeNamespace(namespace);
    expect(await refusals(rendered(namespace, set))).toEqual([]);
  });

  test('refuses a field that does not exist (control)', async () => {
    const objects = readObjects('weft.yml');
    for (const { kind, spec } of objects) if (kind === 'DaemonSet') Object.assign(spec ?? {}, { tolerations: [] });
    expect(await refusals(objects)).toEqual([expect.stringContaining('spec.tolerations')]);
  });
});

describe('pod security', () => {
  async function admitted(namespace: string, level: string): Promise<Answer> {
    await makeNamespace(namespace, { 'pod-security.kubernetes.io/enforce': level });
    const metadata = { name: 'weft', namespace };
    await apply({ apiVersion: 'v1', kind: 'ServiceAccount', metadata }, false);
    const pod = { metadata: { name: 'agent', namespace }, spec: podSpec(readObjects('weft.yml')) };
    return await call('POST', `/api/v1/namespaces/${namespace}/pods?dryRun=All&fieldValidation=Strict`, pod);
  }

  test('lets the agent’s pod into a namespace labelled as ours', async () => {
    const { status, message } = await admitted('labelled', 'privileged');
    expect([status, message]).toEqual([201, '']);
  });

  test('elsewhere it refuses the pod for the host’s network and folders, and not for what its container asks', async () => {
    const { status, message } = await admitted('strict', 'baseline');
    expect(status).toBe(403);
    expect(message).toContain('host namespaces (hostNetwork=true)');
    expect(message).toContain('hostPath volumes');
    // Besides these two, only the capability NET_ADMIN exceeds the baseline policy.
    expect(message).toMatch(/capabilities \(container "flanneld" must not include "NET_ADMIN"/);
    expect(message).not.toMatch(/privileged \(|allowPrivilegeEscalation|seccompProfile|runAsNonRoot/);
  });
});

describe('the agent’s account', () => {
  const account = 'system:serviceaccount:weft:weft';

  beforeAll(async () => {
    if (server === undefined) return;
    for (const object of readObjects('weft.yml')) if (object.kind !== 'DaemonSet') await apply(object, false);
  });

  async function may(verb: string, resource: string, subresource = '', group = ''): Promise<unknown> {
    const resourceAttributes = { verb, resource, subresource, group, namespace: 'kube-system' };
    const path = '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews';
    const { body } = await call('POST', path, { spec: { resourceAttributes } }, { as: account });
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
  ])('with the selector $selector, $overlay replaces it: $fits', async ({ overlay, selector, fits }, { task }) => {
    // Each case has a namespace of its own, because its objects are really written.
    const namespace = `replaced-${task.id.replaceAll('_', '-')}`.slice(0, 60).replace(/-$/, '');
    await makeNamespace(namespace);
    const made = await call('POST', `/apis/apps/v1/namespaces/${namespace}/daemonsets`, flannelDaemonSet(selector));
    expect(made.message).toBe('');
    const ours = kustomized(`overlays/${overlay}`).find(({ kind }) => kind === 'DaemonSet');
    if (ours === undefined) throw new Error('no DaemonSet');
    const { status, message } = await apply({ ...ours, metadata: { ...ours.metadata, namespace } }, false);
    expect([status, message]).toEqual(fits ? [200, ''] : [422, expect.stringContaining('field is immutable')]);
  });
});

/** flannel's DaemonSet, reduced to what matters here: names, labels, selector, a container. */
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
