// The built `kubectl weft connectivity` on a real kube-apiserver, its controllers and kube-proxy, and lab nodes with the built agent: it
// finds everything reachable in a healthy cluster, names the faults of a broken one, and removes what it made however it ends.

import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { ClusterApi } from '../../../flanneld/cluster/ask/cluster-api.ts';
import { removeStale } from '../../../flanneld/cluster/connectivity/scene.ts';
import { waitUntil } from '../../lab/processes.ts';
import { Background, findServer } from '../../support/background.ts';
import { needs } from '../../support/needs.ts';
import { builtPlugin, PluginScene } from './plugin-scene.ts';
import { DNS_ADDRESS, startDns, startKubeProxy, writeDnsService } from './service-scene.ts';

const NODES = 3;
const TEST_MS = 180_000;
const CONTROLLERS = 'namespace-controller,serviceaccount-controller,endpointslice-controller';
const missing = ['etcd', 'kube-apiserver', 'kube-controller-manager', 'kube-proxy'].filter(
  (name) => findServer(name) === undefined,
);

let scene: PluginScene;
const cleanups: (() => Promise<void>)[] = [];
beforeAll(async () => {
  if (missing.length > 0) return;
  scene = await PluginScene.start({ nodes: NODES });
  cleanups.push(() => scene.stop());
  const { adminKubeconfig } = scene.server;
  const flags = [
    `--kubeconfig=${adminKubeconfig}`,
    `--controllers=${CONTROLLERS}`,
    '--leader-elect=false',
    '--secure-port=0',
  ];
  const controllers = new Background([findServer('kube-controller-manager') ?? '', ...flags]);
  cleanups.push(() => controllers.stop());
  for (const node of scene.lab.nodes) cleanups.push(await startKubeProxy(scene.server, node, 'nftables'));
}, TEST_MS);
afterAll(async () => {
  for (const cleanup of cleanups.reverse()) await cleanup();
});
beforeEach(() => needs.machine(missing.length === 0, `${missing.join(', ')} (in KUBEBUILDER_ASSETS, then on PATH)`));

/** DNS has a test of its own, because it needs CoreDNS. */
const ARGS = ['connectivity', '--without', 'dns'];

async function testNamespaces(): Promise<string[]> {
  const { body } = await scene.server.must({ path: '/api/v1/namespaces' });
  const names = (body['items'] as { metadata: { name: string } }[]).map(({ metadata }) => metadata.name);
  return names.filter((name) => name.startsWith('weft-connectivity-'));
}

async function expectNothingLeft(): Promise<void> {
  expect(await testNamespaces()).toEqual([]);
  expect(scene.lab.pods).toEqual([]);
}

describe('kubectl weft connectivity', { timeout: TEST_MS }, () => {
  test('finds everything reachable in a healthy cluster, and removes its pods', async () => {
    const { exitCode, stdout, stderr } = await scene.weft(ARGS);
    process.stdout.write(`${stderr}${stdout}`);
    expect(stdout).toMatch(/^pod to pod +6 of 6$/m);
    expect(stdout).toMatch(/^packets of full size +6 of 6$/m);
    expect(stdout).toMatch(/^pod to Service +9 of 9$/m);
    expect(stdout).toMatch(/^pod to node and back +18 of 18$/m);
    expect(exitCode).toBe(0);
    await expectNothingLeft();
  });

  test('names a node that loses large packets, and one whose tunnel is blocked', async () => {
    const [, second, third] = scene.lab.nodes;
    await second?.run(['nft', '-f', '-'], {
      input:
        'table inet t { chain i { type filter hook input priority 0; udp dport 8472 meta length > 1000 drop; }; }\n',
    });
    await third?.run(['nft', '-f', '-'], {
      input: 'table inet t { chain i { type filter hook input priority 0; udp dport 8472 drop; }; }\n',
    });
    onTestFinished(async () => {
      for (const node of [second, third]) await node?.run(['nft', 'delete', 'table', 'inet', 't']);
    });
    const { exitCode, stdout, stderr } = await scene.weft(ARGS);
    process.stdout.write(`${stderr}${stdout}`);
    expect(exitCode).toBe(1);
    expect(stdout).toContain('pods on 2 nodes cannot reach pods on node-3; found from both sides [connectivity-pod]');
    expect(stdout).toContain(
      'packets of full size do not arrive from pods on node-1 at pods on node-2; found from both sides',
    );
    // Failures that follow because pods on node-3 cannot be reached are not reported again.
    expect(stdout).not.toContain('[connectivity-service]');
    expect(stdout).toMatch(/^pod to pod +2 of 6$/m);
    await expectNothingLeft();
  });

  test('resolves the names of Services by a real CoreDNS, and names it when it is gone', async () => {
    needs.machine(findServer('coredns') !== undefined, 'coredns (in KUBEBUILDER_ASSETS, then on PATH)');
    const [first] = scene.lab.nodes;
    if (first === undefined) throw new Error('no node');
    const { pod, stop } = await startDns(scene.server, first);
    onTestFinished(async () => {
      scene.pods.nameserver = undefined;
      await stop();
      if (scene.lab.pods.includes(pod)) await pod.remove();
    });
    scene.pods.nameserver = DNS_ADDRESS;
    await writeDnsService(scene.server, pod);
    const healthy = await scene.weft(['connectivity']);
    process.stdout.write(`${healthy.stderr}${healthy.stdout}`);
    expect(healthy.stdout).toMatch(/^names by cluster DNS +3 of 3$/m);
    expect(healthy.exitCode).toBe(0);
    await pod.remove();
    const { exitCode, stdout } = await scene.weft(['connectivity']);
    process.stdout.write(stdout);
    expect(exitCode).toBe(1);
    expect(stdout).toContain('[connectivity-dns]');
    expect(stdout).toMatch(/^pod to pod +6 of 6$/m);
    await expectNothingLeft();
  });

  test('removes what it made when it is interrupted', async () => {
    const env = { ...process.env, KUBECONFIG: scene.server.adminKubeconfig };
    const child = execFile(process.execPath, [builtPlugin, ...ARGS], { env });
    let said = '';
    child.stderr?.on('data', (text: string) => {
      said += text;
    });
    await waitUntil(() => Promise.resolve(scene.pods.count === NODES), TEST_MS, 'pods of the test');
    child.kill('SIGINT');
    const [code] = await once(child, 'exit');
    process.stdout.write(said);
    expect({ code, said }).toEqual({ code: 130, said: expect.stringContaining('kubectl-weft: interrupted') });
    await expectNothingLeft();
  });

  test('removes what one left that was killed, when it is old, and nothing of one that may run', async () => {
    const name = 'weft-connectivity-old';
    const labels = { 'app.kubernetes.io/name': 'weft-connectivity' };
    await scene.server.must({ path: '/api/v1/namespaces', body: { metadata: { name, labels } } });
    const api = new ClusterApi(scene.server.admin, 30_000);
    const { signal } = new AbortController();
    expect(await removeStale(api, Date.now(), signal)).toEqual([]);
    expect(await testNamespaces()).toEqual([name]);
    // The API server sets the time of creation, so the test pretends that it is later now.
    expect(await removeStale(api, Date.now() + 3_600_000, signal)).toEqual([name]);
    await waitUntil(async () => (await testNamespaces()).length === 0, TEST_MS, 'no namespace');
  });
});
