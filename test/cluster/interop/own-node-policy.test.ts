// flannel's own agent under the policy that limits an account to its own Node (overlays/replace-flannel-policy), on a real kube-apiserver,
// with tokens like those that pods get: the server accepts everything that it does on its own Node, and nothing on another.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { AGENT_LOG, NET_CONF_FILE, SUBNET_FILE, UNDERLAY_DEVICE } from '../../lab/contract.ts';
import { type Lab, startLab } from '../../lab/lab.ts';
import { waitUntil } from '../../lab/processes.ts';
import { HEALTH_FLAGS, LAUNCHER, writeLauncher } from '../../lab/support/launcher-script.ts';
import { tokenOf } from '../../support/bound-token.ts';
import { ask, type KubeApiserver, startKubeApiserver } from '../../support/kube-apiserver.ts';
import { applyCall } from '../../support/kube-objects.ts';
import { needs } from '../../support/needs.ts';
import { startRelay } from '../../support/netns-relay.ts';
import { asKubeObjects, type KubeObject, manifests, parseYaml } from '../manifests/documents.ts';
import { findProgram, runProgram } from '../manifests/find-program.ts';
import { findFlanneld, missingPrograms } from './programs.ts';

const START_MS = 180_000;
const LOOK_MS = 60_000;
/** How long flannel tries to write its lease before it complains, and more for a busy machine. */
const GIVE_UP_MS = 150_000;
const PREFIX = 'flannel.alpha.coreos.com/';
const REFUSED = "ValidatingAdmissionPolicy 'kube-flannel-own-node' with binding 'kube-flannel-own-node' denied request";
const missing = missingPrograms(process.env) ?? (findProgram('kubectl') === undefined ? 'kubectl on PATH' : undefined);
const cleanups: (() => unknown)[] = [];
let server: KubeApiserver;
let lab: Lab;
let folder: string;

beforeAll(async () => {
  if (missing !== undefined) return;
  folder = mkdtempSync(join(tmpdir(), 'weft-flannel-policy-'));
  cleanups.push(() => rmSync(folder, { recursive: true, force: true }));
  server = await startKubeApiserver();
  cleanups.push(() => server.stop());
  const netConf = { Network: '10.244.0.0/16', Backend: { Type: 'vxlan' } };
  lab = await startLab({ nodes: 2, netConf, agent: { start: false, file: LAUNCHER, readyTimeoutMs: LOOK_MS } });
  cleanups.push(() => lab.down());
  await makeAccount();
  for (const { name, index, pid } of lab.nodes) {
    const podCIDR = `10.244.${index}.0/24`;
    // flannel panics at a Node without annotations.
    const metadata = { name, annotations: { theirs: 'kept' } };
    await server.must({ path: '/api/v1/nodes', body: { metadata, spec: { podCIDR, podCIDRs: [podCIDR] } } });
    cleanups.push(await startRelay(pid, server.url));
  }
}, START_MS);
afterAll(async () => {
  for (const cleanup of cleanups.toReversed()) await cleanup();
}, START_MS);
beforeEach(() => needs.machine(missing === undefined, missing ?? ''));

/** flannel's account with the rights that flannel's manifest gives it. */
async function makeAccount(): Promise<void> {
  const [name, namespace] = ['flannel', 'kube-flannel'];
  const roles = '/apis/rbac.authorization.k8s.io/v1';
  await server.must({ path: '/api/v1/namespaces', body: { metadata: { name: namespace } } });
  await server.must({ path: `/api/v1/namespaces/${namespace}/serviceaccounts`, body: { metadata: { name } } });
  const rules = [
    { apiGroups: [''], resources: ['pods'], verbs: ['get'] },
    { apiGroups: [''], resources: ['nodes'], verbs: ['get', 'list', 'watch'] },
    { apiGroups: [''], resources: ['nodes/status'], verbs: ['patch'] },
  ];
  const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name };
  const subjects = [{ kind: 'ServiceAccount', name, namespace }];
  await server.must({ path: `${roles}/clusterroles`, body: { metadata: { name }, rules } });
  await server.must({ path: `${roles}/clusterrolebindings`, body: { metadata: { name }, roleRef, subjects } });
}

/** flannel as the agent of `nodeName`, run on a lab node with the token of a pod on `tokenNode`. */
async function runFlannel(at: string, nodeName: string, tokenNode: string): Promise<void> {
  const node = lab.node(at);
  const token = await tokenOf(server, 'kube-flannel', 'flannel', tokenNode);
  const kubeconfig = join(folder, `kubeconfig-${at}`);
  const cluster = { server: server.url.origin, 'certificate-authority': server.authorityFile };
  const config = {
    ...{ apiVersion: 'v1', kind: 'Config', 'current-context': 'it' },
    clusters: [{ name: 'it', cluster }],
    users: [{ name: 'it', user: { token } }],
    contexts: [{ name: 'it', context: { cluster: 'it', user: 'it' } }],
  };
  writeFileSync(kubeconfig, stringify(config));
  const files = [`--net-config-path=${NET_CONF_FILE}`, `--subnet-file=${SUBNET_FILE}`];
  const kube = ['--kube-subnet-mgr', `--kubeconfig-file=${kubeconfig}`];
  const argv = [findFlanneld() ?? '', ...kube, ...files, `--iface=${UNDERLAY_DEVICE}`, '--ip-masq', ...HEALTH_FLAGS];
  writeLauncher(node, ['env', `NODE_NAME=${nodeName}`, ...argv]);
  await node.agent.start();
}

interface Node {
  readonly annotations: Readonly<Record<string, string>>;
  readonly networkUnavailable: string | undefined;
}

async function nodeOf(name: string): Promise<Node> {
  const { body } = await server.must({ path: `/api/v1/nodes/${name}` });
  const { metadata, status } = body as {
    metadata: { annotations: Record<string, string> };
    status: { conditions?: { type: string; status: string }[] };
  };
  const networkUnavailable = status.conditions?.find(({ type }) => type === 'NetworkUnavailable')?.status;
  return { annotations: metadata.annotations, networkUnavailable };
}

async function isPublished(name: string): Promise<boolean> {
  const { annotations } = await nodeOf(name);
  return annotations[`${PREFIX}public-ip`] !== undefined;
}

test('control: without the policy flannel with the token of one node writes another Node', async () => {
  await runFlannel('node-2', 'node-1', 'node-2');
  await waitUntil(async () => await isPublished('node-1'), LOOK_MS, 'the annotations');
  await lab.node('node-2').agent.stop();
  lab.node('node-2').writeFile(AGENT_LOG, '');
  const names = Object.keys((await nodeOf('node-1')).annotations).filter((name) => name.startsWith(PREFIX));
  const annotations = Object.fromEntries(names.map((name) => [name, null]));
  const contentType = 'application/merge-patch+json';
  await server.must({
    method: 'PATCH',
    path: '/api/v1/nodes/node-1',
    body: { metadata: { annotations } },
    contentType,
  });
});

test('on its own Node flannel gets all it asks for', async () => {
  await applyPolicy();
  await runFlannel('node-1', 'node-1', 'node-1');
  await lab.node('node-1').agent.ready();
  expect(await nodeOf('node-1')).toEqual({
    annotations: {
      theirs: 'kept',
      [`${PREFIX}backend-data`]: expect.stringContaining('VtepMAC'),
      [`${PREFIX}backend-type`]: 'vxlan',
      [`${PREFIX}kube-subnet-manager`]: 'true',
      [`${PREFIX}public-ip`]: lab.node('node-1').address,
    },
    networkUnavailable: 'False',
  });
  expect(lab.node('node-1').agent.log()).not.toContain('denied');
});

test('with the token of another node it writes nothing, and is never ready', async () => {
  const before = await nodeOf('node-1');
  expect(await refusalOf('node-2')).toContain(`${REFUSED}: this is the token of node node-2`);
  await runFlannel('node-2', 'node-1', 'node-2');
  const node = lab.node('node-2');
  // flannel tries again and again, does not log the server's words, and ends.
  await waitUntil(() => node.agent.log().includes('failed to patch node "node-1"'), GIVE_UP_MS, 'flannel’s complaint');
  expect(node.agent.log()).not.toContain('flannel is ready');
  expect(await nodeOf('node-1')).toEqual(before);
}, 200_000);

/** The server's answer to a change of node-1 with the token of another node; undefined when it accepts the change. */
async function refusalOf(tokenNode: string): Promise<string | undefined> {
  const access = server.withToken(await tokenOf(server, 'kube-flannel', 'flannel', tokenNode));
  const body = { metadata: { annotations: { [`${PREFIX}public-ip`]: '192.0.2.1' } } };
  const path = '/api/v1/nodes/node-1/status?dryRun=All';
  const answer = await ask(access, { method: 'PATCH', path, body, contentType: 'application/merge-patch+json' });
  return answer.status === 403 ? String(answer.body['message']) : undefined;
}

/** Applies the policy and waits until it is enforced, for which the server needs about a second. */
async function applyPolicy(): Promise<void> {
  const overlay = join(manifests, 'kustomize/overlays/replace-flannel-policy');
  const text = runProgram(findProgram('kubectl') ?? '', ['kustomize', overlay]);
  const objects: readonly KubeObject[] = asKubeObjects(parseYaml(text, overlay));
  for (const object of objects) await server.must(applyCall(object, false));
  await waitUntil(async () => (await refusalOf('node-2')) !== undefined, LOOK_MS, 'the policy');
}
