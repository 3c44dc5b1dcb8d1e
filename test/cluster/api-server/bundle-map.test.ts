// The built `kubectl weft bundle` and `map` on a real kube-apiserver and a lab that is broken in known places: the archive has what an
// issue report needs and none of the secrets that the test planted; the map, opened in a browser, shows which nodes do not reach which.

import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { CONFLIST_FOLDER, NET_CONF_FILE } from '../../lab/contract.ts';
import { waitUntil } from '../../lab/processes.ts';
import { findChromium, openPage } from '../../support/chromium.ts';
import { missingApiserver } from '../../support/kube-apiserver.ts';
import { needs } from '../../support/needs.ts';
import { PluginScene } from './plugin-scene.ts';

const NODES = 4;
const TEST_MS = 120_000;
const MERGE = 'application/merge-patch+json';

/** Texts that must not be in the archive, each in a place of its own and in the form that it has there. */
const SECRETS = {
  annotation: 'planted-in-an-annotation-8f3a',
  applied: 'planted-in-last-applied-8f3a',
  variable: 'planted-in-a-variable-8f3a',
  flag: 'planted-in-a-flag-8f3a',
  psk: 'planted-in-net-conf-8f3a',
  kubeconfig: 'planted-in-a-kubeconfig-8f3a',
  conflist: 'planted-in-a-conflist-8f3a',
  podAnnotation: 'planted-on-a-pod-8f3a',
  comment: 'eyJhbGciOiJSUzI1NiIsImtpZCI6IngifQ.eyJwbGFudGVkIjoiOGYzYSJ9.cGxhbnRlZC04ZjNh',
  wireguard: '4GgaQCy68nzNsUE5aJ9fuLzHhB65tAlwbmA72MWnOm8=',
};

let scene: PluginScene;
beforeAll(async () => {
  if (missingApiserver() === undefined) scene = await PluginScene.start({ nodes: NODES });
}, TEST_MS);
afterAll(() => scene?.stop());
beforeEach(() => needs.machine(missingApiserver() === undefined, missingApiserver() ?? ''));

async function patch(path: string, body: object): Promise<void> {
  await scene.server.must({ method: 'PATCH', path, body, contentType: MERGE });
}

/** Secrets in every place where people and programs leave them. */
async function plantSecrets(): Promise<void> {
  const [node] = scene.lab.nodes;
  if (node === undefined) throw new Error('no node');
  const annotations = {
    'example.org/x': SECRETS.annotation,
    'kubectl.kubernetes.io/last-applied-configuration': JSON.stringify({ data: SECRETS.applied }),
  };
  await patch(`/api/v1/nodes/${node.name}`, { metadata: { annotations } });
  await patch('/api/v1/namespaces/weft/pods/weft-node-1', {
    metadata: { annotations: { note: SECRETS.podAnnotation } },
  });
  const netConf = { Network: '10.244.0.0/16', Backend: { Type: 'vxlan', PSK: SECRETS.psk } };
  const data = { 'net-conf.json': JSON.stringify(netConf) };
  await scene.server.must({ path: '/api/v1/namespaces/weft/configmaps', body: { metadata: { name: 'weft' }, data } });
  const { body } = await scene.server.must({ path: '/apis/apps/v1/namespaces/weft/daemonsets/weft' });
  const { template } = (body as { spec: { template: { spec: { containers: object[] } } } }).spec;
  const [container] = template.spec.containers;
  const env = [{ name: 'FLANNELD_ETCD_PASSWORD', value: SECRETS.variable }];
  const args = [`--etcd-password=${SECRETS.flag}`];
  const spec = {
    containers: [{ ...container, env, args }],
    volumes: [{ name: 'config', configMap: { name: 'weft' } }],
  };
  await patch('/apis/apps/v1/namespaces/weft/daemonsets/weft', { spec: { template: { spec } } });
  node.writeFile(NET_CONF_FILE, JSON.stringify(netConf));
  node.writeFile(`${CONFLIST_FOLDER}/zz-kubeconfig`, `users: [{name: x, user: {token: ${SECRETS.kubeconfig}}}]\n`);
  const plugin = { type: 'x', kubernetes: { k8s_auth_token: SECRETS.conflist }, key: SECRETS.wireguard };
  node.writeFile(`${CONFLIST_FOLDER}/99-other.conf`, JSON.stringify(plugin));
  const rule = `add table inet planted { comment "${SECRETS.comment}"; }\n`;
  await node.run(['nft', '-f', '-'], { input: rule });
}

function unpack(archive: string): Map<string, string> {
  const folder = join(scene.folder, 'unpacked');
  execFileSync('mkdir', ['-p', folder]);
  execFileSync('tar', ['-xzf', archive, '-C', folder]);
  const names = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return new Map(
    names.map(({ parentPath, name }) => {
      const path = join(parentPath, name);
      return [path.slice(folder.length + 1), readFileSync(path, 'utf8')];
    }),
  );
}

describe('kubectl weft bundle', { timeout: TEST_MS }, () => {
  test('has what an issue report needs, and no secret', async () => {
    await plantSecrets();
    const { exitCode, stderr } = await scene.weft(['bundle', '--output', 'b.tar.gz', '--nodes', '2']);
    process.stdout.write(stderr);
    expect(exitCode).toBe(0);
    const files = unpack(join(scene.folder, 'b.tar.gz'));
    const all = [...files.values()].join('\n');
    for (const [place, secret] of Object.entries(SECRETS)) {
      expect({ place, isIn: all.includes(secret) }).toEqual({ place, isIn: false });
    }
    const has = (name: string): string => files.get(name) ?? `no ${name}: ${[...files.keys()].join()}`;
    expect(has('status.txt')).toContain(`${NODES} of ${NODES} nodes ready`);
    expect(JSON.parse(has('findings.json'))).toBeInstanceOf(Array);
    expect(has('cluster/nodes.json')).toContain('"node-4"');
    expect(has('cluster/daemonsets.json')).toContain('--etcd-password=(left out)');
    expect(has('cluster/configmap-1.txt')).toContain('"Network": "10.244.0.0/16"');
    expect(has('nodes/node-3/status.json')).toContain('"backend": "vxlan"');
    expect(has('nodes/node-1/kernel/links.jsonl')).toContain('"name":"flannel.1"');
    expect(has('nodes/node-1/kernel/routes.jsonl')).toContain(`"10.244.`);
    expect(has('nodes/node-1/kernel/fdb.jsonl')).toContain(scene.lab.node('node-2').address);
    expect(has('nodes/node-1/rules/nft.txt')).toContain('table ip weft');
    expect(has('nodes/node-1/rules/nft.txt')).toContain('planted');
    expect(has('nodes/node-1/cni/config-folder.txt')).toContain('zz-kubeconfig');
    expect(has('nodes/node-1/cni/configs.txt')).toContain('"type": "flannel"');
    expect(has('nodes/node-1/sysctl.txt')).toContain('net/ipv4/ip_forward = 1');
    expect(has('nodes/node-1/versions.txt')).toMatch(/^weft: 0\.1\.0/m);
    expect(has('nodes/node-1/agent.log')).toContain('"msg":"starting"');
    expect(has('README.txt')).toContain('In detail\n  node-1\n  node-2\n');
    expect([...files.keys()].filter((name) => name.startsWith('nodes/node-3/'))).toEqual(['nodes/node-3/status.json']);
  });
});

describe('kubectl weft map', { timeout: TEST_MS }, () => {
  test('shows in a browser who does not reach whom, and why', async () => {
    needs.machine(findChromium() !== undefined, 'chromium on PATH');
    const broken = scene.lab.node('node-3');
    const rule = 'table inet t { chain i { type filter hook input priority 0; udp dport 8472 drop; }; }\n';
    await broken.run(['nft', '-f', '-'], { input: rule });
    onTestFinished(async () => {
      await broken.run(['nft', 'delete', 'table', 'inet', 't']);
    });
    const isSeen = async (): Promise<boolean> => {
      const { stdout } = await scene.weft(['status', '--json']);
      const { nodes } = JSON.parse(stdout) as { nodes: { value?: { probes: Record<string, number> } }[] };
      return nodes.filter(({ value }) => (value?.probes['unreachable'] ?? 0) > 0).length === NODES;
    };
    await waitUntil(isSeen, TEST_MS, 'probes that see it on every node');
    const { exitCode, stderr } = await scene.weft(['map', '--output', 'map.html']);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: expect.stringMatching(/^map.html: 4 nodes\n/m) });
    const page = await openPage(findChromium() ?? '', pathToFileURL(join(scene.folder, 'map.html')).href);
    onTestFinished(() => page.close());
    const text = await page.evaluate<string>('document.body.innerText');
    process.stdout.write(`${text.split('Who reaches whom')[0]}\n`);
    // Where node-3 has found its own rule, what it sees of its peers is a consequence of that and no finding from the other side.
    expect(text).toMatch(/error .*3 nodes .*node-3/);
    expect(text).toMatch(/; found from both sides|error node-3: .* own firewall drops .*"udp dport 8472 drop"/);
    const cells = await page.evaluate<Record<string, string>>(
      `(() => {
        const { nodes, rows } = JSON.parse(document.getElementById('data').textContent);
        return Object.fromEntries(rows.flatMap((row, from) => row.map((cell, to) => [nodes[from].name + ' ' + nodes[to].name, cell.s])));
      })()`,
    );
    expect(cells).toMatchObject({
      'node-1 node-2': 'ok',
      'node-4 node-1': 'ok',
      'node-1 node-3': 'dead',
      'node-3 node-2': 'dead',
    });
    const press = (key: string): Promise<unknown> =>
      page.evaluate(
        `document.getElementById('matrix').dispatchEvent(new KeyboardEvent('keydown', { key: '${key}', bubbles: true, cancelable: true })) || true`,
      );
    await press('ArrowRight');
    expect(await page.evaluate(`document.getElementById('cell').textContent`)).toMatch(
      /^node-1 → node-2: reachable, round trip [\d.]+ ms, \d+ % lost/,
    );
    await press('ArrowRight');
    expect(await page.evaluate(`document.getElementById('cell').textContent`)).toMatch(
      /^node-1 → node-3: no answer, \d+ % lost\n/,
    );
    expect(page.complaints).toEqual([]);
  });
});
