// The built `kubectl weft preflight` on a real kube-apiserver, its controllers and lab nodes: one verdict for all nodes, and none of its
// Jobs and pods is left, even when it was killed.

import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test } from 'vitest';
import { waitUntil } from '../../lab/processes.ts';
import { Background, findServer } from '../../support/background.ts';
import { needs } from '../../support/needs.ts';
import { builtPlugin, PluginScene } from './plugin-scene.ts';

const PODS = '/api/v1/namespaces/kube-system/pods';
const JOBS = '/apis/batch/v1/namespaces/kube-system/jobs';
const CONTROLLERS = 'job-controller,garbage-collector-controller,ttl-after-finished-controller';
const MERGE = 'application/merge-patch+json';

interface PodObject {
  readonly metadata: { readonly name: string; readonly deletionTimestamp?: string };
  readonly spec: { readonly nodeName: string; readonly containers: readonly { readonly securityContext: object }[] };
  readonly status: { readonly phase: string };
}

const missing = ['etcd', 'kube-apiserver', 'kube-controller-manager'].filter((name) => findServer(name) === undefined);

let scene: PluginScene;
let controllers: Background;
let isOver = false;
/** Whether the program of the pods has ended by itself. */
let isEnding = false;
let kubelet: Promise<void>;
const seen: PodObject[] = [];

beforeAll(async () => {
  if (missing.length > 0) return;
  scene = await PluginScene.start({ nodes: 2 });
  await scene.server.call({
    path: '/api/v1/namespaces/kube-system/serviceaccounts',
    body: { metadata: { name: 'default' } },
  });
  for (const [at, { name }] of scene.lab.nodes.entries()) await setPodCidr(name, `10.244.${at + 1}.0/24`);
  const flags = [`--controllers=${CONTROLLERS}`, '--leader-elect=false', '--secure-port=0'];
  controllers = new Background([
    findServer('kube-controller-manager') ?? '',
    `--kubeconfig=${scene.server.adminKubeconfig}`,
    ...flags,
  ]);
  kubelet = startPods();
}, 180_000);
afterAll(async () => {
  isOver = true;
  await kubelet;
  await controllers?.stop();
  await scene?.stop();
});
beforeEach(() => needs.machine(missing.length === 0, `${missing.join(', ')} (in KUBEBUILDER_ASSETS, then on PATH)`));

async function setPodCidr(node: string, podCIDR: string): Promise<void> {
  const body = { spec: { podCIDR, podCIDRs: [podCIDR] } };
  await scene.server.must({ method: 'PATCH', path: `/api/v1/nodes/${node}`, body, contentType: MERGE });
}

async function pods(): Promise<PodObject[]> {
  const { body } = await scene.server.call({ path: PODS });
  return (body['items'] ?? []) as PodObject[];
}

async function jobs(): Promise<object[]> {
  return ((await scene.server.call({ path: JOBS })).body['items'] ?? []) as object[];
}

async function expectNothingLeft(): Promise<void> {
  expect(await jobs()).toEqual([]);
  expect(await pods()).toEqual([]);
}

/** Does a kubelet's part: reports that a container runs, and lets deleted pods go. */
async function startPods(): Promise<void> {
  while (!isOver) {
    for (const pod of await pods()) {
      const path = `${PODS}/${pod.metadata.name}`;
      if (pod.metadata.deletionTimestamp !== undefined) {
        await scene.server.call({ method: 'DELETE', path: `${path}?gracePeriodSeconds=0` });
      } else if (isEnding) {
        await scene.server.call({
          method: 'PATCH',
          path: `${path}/status`,
          body: { status: { phase: 'Succeeded' } },
          contentType: MERGE,
        });
      } else if (pod.status.phase !== 'Running') {
        seen.push(pod);
        const containerStatuses = [
          { name: 'preflight', image: '', imageID: '', ready: true, restartCount: 0, state: { running: {} } },
        ];
        const body = { status: { phase: 'Running', containerStatuses } };
        await scene.server.call({ method: 'PATCH', path: `${path}/status`, body, contentType: MERGE });
      }
    }
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
}

test('says in one line that all nodes are fit, with the pod of a Job on each that has NET_ADMIN alone, and leaves none', async () => {
  const { exitCode, stdout, stderr } = await scene.weft(['preflight']);
  expect(stdout, stderr).toContain('all 2 nodes are fit for Weft');
  expect(exitCode).toBe(0);
  expect(seen.map(({ spec }) => spec.nodeName).sort()).toEqual(['node-1', 'node-2']);
  const capabilities = { drop: ['ALL'], add: ['NET_ADMIN'] };
  for (const { spec } of seen) expect(spec.containers[0]?.securityContext).toMatchObject({ capabilities });
  await expectNothingLeft();
});

test('names the node that is not fit, and why', async () => {
  const [node] = scene.lab.nodes;
  // The agent’s own device has the VNI and port that the other one needs.
  await node?.agent.kill();
  await node?.run(['sh', '-c', 'ip link del flannel.1 && ip link add vx9 type vxlan id 1 dstport 8472']);
  onTestFinished(async () => {
    await node?.run(['ip', 'link', 'del', 'vx9']);
    await node?.agent.start();
  });
  const { exitCode, stdout } = await scene.weft(['preflight', '--json']);
  const report = JSON.parse(stdout) as { verdict: string; findings: { id: string; nodes: string[] }[] };
  expect(report.verdict).toBe('1 of 2 nodes are not fit for Weft');
  expect(report.findings).toEqual(
    expect.arrayContaining([expect.objectContaining({ id: 'vxlan-port-taken', nodes: ['node-1'] })]),
  );
  expect(exitCode).toBe(1);
  await expectNothingLeft();
});

test('names a Node without a podCIDR', async () => {
  await scene.addNodeObject('bare', '192.168.50.99');
  onTestFinished(async () => void (await scene.server.must({ method: 'DELETE', path: '/api/v1/nodes/bare' })));
  const { stdout, exitCode } = await scene.weft(['preflight', '--timeout', '10']);
  expect(stdout).toContain('[pod-cidr-unusable]');
  expect(stdout).toContain('1 of 3 nodes are not fit for Weft, 1 did not answer');
  expect(exitCode).toBe(1);
  await expectNothingLeft();
});

test('leaves Jobs that remove themselves when it is killed', async () => {
  const env = { ...process.env, KUBECONFIG: scene.server.adminKubeconfig };
  const before = seen.length;
  const child = execFile(process.execPath, [builtPlugin, 'preflight'], { env }, () => undefined);
  await waitUntil(() => Promise.resolve(seen.length > before), 60_000, 'a pod of it');
  child.kill('SIGKILL');
  await once(child, 'exit');
  expect(await jobs()).not.toEqual([]);
  isEnding = true;
  onTestFinished(() => {
    isEnding = false;
  });
  await waitUntil(async () => (await jobs()).length === 0 && (await pods()).length === 0, 60_000, 'no Job and no pod');
});
