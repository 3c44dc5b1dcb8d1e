// Tests weft-policy.yml on a real kube-apiserver, with tokens like those that pods get: which changes an agent's token may make, and
// that without the policy the server accepts each of the changes it refuses.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import type { KubeAccess } from '../../../flanneld/subnet/kube/api.ts';
import { createKubeManager, kubeDefaults } from '../../../flanneld/subnet/kube/kube.ts';
import { networkAvailablePatch, nodeEvent } from '../../../flanneld/subnet/kube/node-status.ts';
import type { SubnetManager } from '../../../flanneld/subnet/manager.ts';
import { tokenOf as makeToken } from '../../support/bound-token.ts';
import {
  type ApiAnswer,
  ask,
  type KubeApiserver,
  missingApiserver,
  startKubeApiserver,
} from '../../support/kube-apiserver.ts';
import { applyCall } from '../../support/kube-objects.ts';
import { needs } from '../../support/needs.ts';
import { recordingLog } from '../../support/recording-log.ts';
import { asKubeObjects, type KubeObject, manifests, parseYaml, readObjects } from '../manifests/documents.ts';
import { findProgram, runProgram } from '../manifests/find-program.ts';

const PREFIX = 'flannel.alpha.coreos.com/';

let server: KubeApiserver;
beforeAll(async () => {
  if (missingApiserver() !== undefined) return;
  server = await startKubeApiserver();
  for (const object of readObjects('weft.yml'))
    if (object.kind !== 'DaemonSet') await server.must(applyCall(object, false));
  await makeAccounts();
  await makeNode('node-a', '10.244.1.0/24');
  await makeNode('node-b', '10.244.2.0/24');
}, 180_000);
afterAll(async () => await server?.stop());
beforeEach(() => needs.machine(missingApiserver() === undefined, missingApiserver() ?? ''));

/** Makes the accounts of weft.yml and flannel with their rights, and with the right to patch whole Nodes, which no role of ours has. */
async function makeAccounts(): Promise<void> {
  const roles = '/apis/rbac.authorization.k8s.io/v1';
  const subjects = [
    { kind: 'ServiceAccount', name: 'weft', namespace: 'weft' },
    { kind: 'ServiceAccount', name: 'flannel', namespace: 'kube-flannel' },
  ];
  await server.must({ path: '/api/v1/namespaces', body: { metadata: { name: 'kube-flannel' } } });
  await server.must({
    path: '/api/v1/namespaces/kube-flannel/serviceaccounts',
    body: { metadata: { name: 'flannel' } },
  });
  await server.must({
    method: 'PATCH',
    path: `${roles}/clusterrolebindings/weft`,
    body: { subjects },
    contentType: MERGE,
  });
  const metadata = { name: 'whole-nodes' };
  const rules = [{ apiGroups: [''], resources: ['nodes'], verbs: ['patch'] }];
  const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'whole-nodes' };
  await server.must({ path: `${roles}/clusterroles`, body: { metadata, rules } });
  await server.must({ path: `${roles}/clusterrolebindings`, body: { metadata, roleRef, subjects } });
}

async function makeNode(name: string, podCIDR: string): Promise<void> {
  const metadata = {
    name,
    labels: { zone: 'one' },
    annotations: { theirs: 'kept', [`${PREFIX}public-ip`]: '192.0.2.1', [`${PREFIX}node-public-ip`]: '192.0.2.1' },
  };
  const status = {
    addresses: [{ type: 'InternalIP', address: '192.0.2.1' }],
    capacity: { cpu: '2' },
    conditions: [{ type: 'Ready', status: 'True', reason: 'KubeletReady', message: '' }],
  };
  await server.must({ path: '/api/v1/nodes', body: { metadata, spec: { podCIDR, podCIDRs: [podCIDR] } } });
  await server.must({ method: 'PATCH', path: `/api/v1/nodes/${name}/status`, body: { status }, contentType: MERGE });
}

const MERGE = 'application/merge-patch+json';
const STRATEGIC = 'application/strategic-merge-patch+json';

async function tokenOf(namespace: string, account: string, node: string | undefined): Promise<KubeAccess> {
  return server.withToken(await makeToken(server, namespace, account, node));
}

interface Change {
  readonly name: string;
  readonly node?: string;
  readonly patch: object;
  readonly type?: string;
  readonly path?: string;
}

/** Tries a change as a dry run, so that all changes can be tried on the same Nodes. */
function change(
  access: KubeAccess,
  { node = 'node-a', patch, type = STRATEGIC, path = '/status' }: Change,
): Promise<ApiAnswer> {
  const url = `/api/v1/nodes/${node}${path}?dryRun=All`;
  return ask(access, { method: 'PATCH', path: url, body: patch, contentType: type });
}

function tell(access: KubeAccess, node: string): Promise<ApiAnswer> {
  const event = nodeEvent({ node, reason: 'Test', message: 'a test' }, new Date());
  return ask(access, { path: '/api/v1/namespaces/default/events?dryRun=All', body: event });
}

const annotations = (all: Record<string, string | null>): object => ({ metadata: { annotations: all } });

const own: readonly Change[] = [
  { name: 'a new annotation under the prefix', patch: annotations({ [`${PREFIX}backend-type`]: 'vxlan' }) },
  { name: 'another value of one', patch: annotations({ [`${PREFIX}public-ip`]: '192.0.2.7' }) },
  { name: 'one less', patch: annotations({ [`${PREFIX}public-ip`]: null }) },
  { name: 'the condition NetworkUnavailable', patch: networkAvailablePatch(new Date()) },
];

const refused: readonly (Change & { readonly want: string })[] = [
  {
    name: 'an annotation of another Node',
    node: 'node-b',
    patch: annotations({ [`${PREFIX}public-ip`]: '192.0.2.66' }),
    want: 'this is the token of node node-a',
  },
  {
    name: 'the condition of another Node',
    node: 'node-b',
    patch: networkAvailablePatch(new Date()),
    want: 'this is the token',
  },
  {
    name: 'an annotation of another prefix',
    patch: annotations({ 'example.org/x': 'y' }),
    want: 'only annotations under flannel',
  },
  {
    name: 'another value of somebody’s annotation',
    patch: annotations({ theirs: 'ours' }),
    want: 'only annotations under flannel',
  },
  { name: 'somebody’s annotation away', patch: annotations({ theirs: null }), want: 'only annotations under flannel' },
  { name: 'a label', patch: { metadata: { labels: { zone: 'two' } } }, want: 'of the metadata only annotations' },
  { name: 'a label away', patch: { metadata: { labels: { zone: null } } }, want: 'of the metadata only annotations' },
  {
    name: 'a finalizer',
    patch: { metadata: { finalizers: ['example.org/stay'] } },
    want: 'of the metadata only annotations',
  },
  {
    name: 'an owner',
    patch: { metadata: { ownerReferences: [{ apiVersion: 'v1', kind: 'Pod', name: 'x', uid: 'x' }] } },
    want: 'of the metadata only annotations',
  },
  {
    name: 'an address',
    patch: { status: { addresses: [{ type: 'InternalIP', address: '192.0.2.66' }] } },
    want: 'of the status only the condition',
  },
  { name: 'a capacity', patch: { status: { capacity: { cpu: '200' } } }, want: 'of the status only the condition' },
  {
    name: 'a field the status lacked',
    patch: { status: { volumesInUse: ['x'] } },
    want: 'of the status only the condition',
  },
  {
    name: 'another condition',
    patch: { status: { conditions: [{ type: 'Ready', status: 'False' }] } },
    want: 'of the status only the condition',
  },
  {
    name: 'a condition away',
    patch: { status: { conditions: [] } },
    type: MERGE,
    want: 'of the status only the condition',
  },
  {
    name: 'its annotation by the Node itself, should a role allow that',
    patch: annotations({ [`${PREFIX}public-ip`]: '192.0.2.7' }),
    path: '',
    want: 'only the status of a Node',
  },
  {
    name: 'a taint',
    patch: { spec: { taints: [{ key: 'x', effect: 'NoExecute' }] } },
    path: '',
    want: 'only the status of a Node',
  },
  {
    name: 'its own annotation and a label with it',
    patch: { metadata: { annotations: { [`${PREFIX}public-ip`]: '192.0.2.7' }, labels: { zone: 'two' } } },
    want: 'of the metadata only annotations',
  },
];

/** Applies the objects and waits until the API server enforces them, which takes about a second. */
async function apply(objects: readonly KubeObject[], isKnown: () => Promise<boolean>): Promise<void> {
  for (const object of objects) await server.must(applyCall(object, false));
  await vi.waitFor(async () => expect(await isKnown()).toBe(true), { timeout: 60_000, interval: 100 });
}

async function remove(objects: readonly KubeObject[]): Promise<void> {
  for (const object of objects) {
    const { path } = applyCall(object, false);
    await server.must({ method: 'DELETE', path: path.replace(/\?.*/, '') });
  }
}

const isRefused = async (access: KubeAccess, tried: Change): Promise<boolean> =>
  (await change(access, tried)).status === 403;
const message = ({ body }: ApiAnswer): string => String(body['message'] ?? '');

describe('weft-policy.yml', () => {
  let ofNodeA: KubeAccess;
  let ofNone: KubeAccess;

  beforeAll(async () => {
    if (server === undefined) return;
    ofNodeA = await tokenOf('weft', 'weft', 'node-a');
    ofNone = await tokenOf('weft', 'weft', undefined);
  });

  test('without the policy, a token changes any Node (control)', async () => {
    for (const each of [...own, ...refused]) {
      for (const access of [ofNodeA, ofNone])
        expect([each.name, (await change(access, each)).status]).toEqual([each.name, 200]);
    }
    for (const node of ['node-a', 'node-b']) expect((await tell(ofNone, node)).status).toBe(201);
  });

  describe('once it is applied', () => {
    beforeAll(async () => {
      if (server === undefined) return;
      await apply(readObjects('weft-policy.yml'), async () => {
        const [first] = refused;
        return (
          first !== undefined && (await isRefused(ofNodeA, first)) && (await tell(ofNodeA, 'node-b')).status === 403
        );
      });
    }, 120_000);

    test.for(own)('accepts $name', async (each) => {
      const answer = await change(ofNodeA, each);
      expect([answer.status, message(answer)]).toEqual([200, '']);
    });

    test.for(refused)('refuses $name and names the policy', async ({ want, ...each }) => {
      const answer = await change(ofNodeA, each);
      expect(answer.status).toBe(403);
      expect(message(answer)).toContain(
        `ValidatingAdmissionPolicy 'weft-own-node' with binding 'weft-own-node' denied request: ${want}`,
      );
    });

    test.for(own)('refuses a token that is bound to no node: $name', async (each) => {
      const answer = await change(ofNone, each);
      expect([answer.status, message(answer)]).toEqual([
        403,
        expect.stringContaining('this token is bound to no node'),
      ]);
    });

    test('accepts Events of the token’s own Node and of no other', async () => {
      expect((await tell(ofNodeA, 'node-a')).status).toBe(201);
      expect(message(await tell(ofNodeA, 'node-b'))).toContain(
        "'weft-own-events' denied request: this is the token of node node-a",
      );
      expect(message(await tell(ofNone, 'node-a'))).toContain('this token is bound to no node');
    });

    test('does not concern other accounts', async () => {
      for (const each of [...own, ...refused])
        expect([each.name, (await change(server.admin, each)).status]).toEqual([each.name, 200]);
      expect((await tell(server.admin, 'node-b')).status).toBe(201);
    });

    test('lets the agent take its lease and report that the network is available', async () => {
      const { manager } = startAgent(ofNodeA, 'node-a');
      const ending = new AbortController();
      onTestFinished(() => ending.abort());
      expect(await manager.acquire({ backendType: 'vxlan' }, ending.signal)).toMatchObject({ backendType: 'vxlan' });
      manager.announceReady?.();
      const watching = manager.watch(() => undefined, ending.signal);
      await expect.poll(() => networkUnavailable('node-a'), { timeout: 30_000 }).toBe('False');
      ending.abort();
      await watching;
    });

    test.for([
      { name: 'no node', access: () => ofNone, want: 'this token is bound to no node' },
      { name: 'another node', access: () => ofNodeA, want: 'this is the token of node node-a' },
    ])('an agent with the token of $name logs which policy refuses it', async ({ access, want }) => {
      const { manager, logged } = startAgent(access(), 'node-b');
      const ending = new AbortController();
      const taken = manager.acquire({ backendType: 'vxlan' }, ending.signal).catch(() => 'ended');
      const policy = "ValidatingAdmissionPolicy 'weft-own-node' with binding 'weft-own-node' denied request: ";
      await expect.poll(() => logged.join('\n'), { timeout: 30_000 }).toContain(policy + want);
      ending.abort();
      expect(await taken).toBe('ended');
    });
  });
});

describe('with other parameters', () => {
  function overlay(): KubeObject[] {
    const kubectl = findProgram('kubectl') ?? '';
    needs.machine(kubectl !== '', 'kubectl on PATH');
    const folder = join(manifests, 'kustomize/overlays/replace-flannel-policy');
    return asKubeObjects(parseYaml(runProgram(kubectl, ['kustomize', folder]), folder));
  }

  function chart(...set: readonly string[]): KubeObject[] {
    const helm = findProgram('helm') ?? '';
    needs.machine(helm !== '', 'helm on PATH');
    const options = ['--namespace', 'kube-flannel', '--kube-version', '1.36.0', '--api-versions', POLICY_API];
    const text = runProgram(helm, [
      'template',
      'x',
      `${manifests}/helm/weft`,
      ...options,
      ...set.flatMap((one) => ['--set', one]),
    ]);
    return asKubeObjects(parseYaml(text, 'chart')).filter(({ kind }) => kind.startsWith('ValidatingAdmission'));
  }

  test.for([
    { name: 'overlays/replace-flannel-policy', objects: overlay, prefix: PREFIX },
    { name: 'the chart in flannel’s place', objects: () => chart('replaceFlannel=true'), prefix: PREFIX },
    {
      name: 'the chart with another annotation prefix',
      objects: () =>
        chart(
          'replaceFlannel=true',
          'flannel.args={--ip-masq,--kube-subnet-mgr,--kube-annotation-prefix=example.org/net}',
        ),
      prefix: 'example.org/net-',
    },
  ])('$name holds flannel’s account to its own Node', async ({ objects, prefix }) => {
    const policy = objects();
    const access = await tokenOf('kube-flannel', 'flannel', 'node-a');
    const ofOther: Change = {
      name: 'other',
      node: 'node-b',
      patch: annotations({ [`${prefix}public-ip`]: '192.0.2.66' }),
    };
    // The control: nothing refuses the change yet. The loop waits until the server has forgotten the policy of the previous test.
    await expect.poll(async () => (await change(access, ofOther)).status, { timeout: 60_000 }).toBe(200);
    await apply(policy, () => isRefused(access, ofOther));
    onTestFinished(() => remove(policy));
    const ofOwn = { name: 'own', patch: annotations({ [`${prefix}public-ip`]: '192.0.2.7' }) };
    expect(message(await change(access, ofOwn))).toBe('');
    const wrong = { name: 'prefix', patch: annotations({ 'example.net/public-ip': '192.0.2.7' }) };
    expect(message(await change(access, wrong))).toContain(`only annotations under ${prefix} are the agent's to write`);
  });
});

const POLICY_API = 'admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy';

async function networkUnavailable(node: string): Promise<unknown> {
  const { body } = await server.must({ path: `/api/v1/nodes/${node}` });
  const { conditions = [] } = body['status'] as { conditions?: { type: string; status: string }[] };
  return conditions.find(({ type }) => type === 'NetworkUnavailable')?.status;
}

function startAgent(access: KubeAccess, nodeName: string): { manager: SubnetManager; logged: readonly string[] } {
  const folder = mkdtempSync(join(tmpdir(), 'weft-policy-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const netConfigPath = join(folder, 'net-conf.json');
  writeFileSync(netConfigPath, '{ "Network": "10.244.0.0/16", "Backend": { "Type": "vxlan" } }');
  const { log, logged } = recordingLog();
  const identity = { nodeName, podName: undefined, podNamespace: undefined };
  const settings = { annotationPrefix: PREFIX, setNetworkUnavailable: true, netConfigPath, log };
  const clock = { random: Math.random, now: () => new Date() };
  return { manager: createKubeManager({ access, identity, ...settings, ...clock, ...kubeDefaults }), logged };
}
