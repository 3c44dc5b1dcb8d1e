// flannel's own test of Services and DNS, with a real kube-proxy and CoreDNS: pods and nodes use cluster addresses and names over the
// overlay.

import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { expectPasses, path } from '../../doctor/path-scene.ts';
import type { CommandOptions, CommandResult } from '../../lab/command.ts';
import { runCommand } from '../../lab/command.ts';
import { waitUntil } from '../../lab/processes.ts';
import { type KubeApiserver, startKubeApiserver } from '../../support/kube-apiserver.ts';
import { needs } from '../../support/needs.ts';
import { DNS_ADDRESS, missingPrograms, ServiceScene, WEB_ADDRESS, WEB_NODE_PORT } from './service-scene.ts';

const START_MS = 180_000;
const LOOK_MS = 60_000;
const EMPTY_ADDRESS = '10.96.0.30';
const missing = missingPrograms();

/** A program that asks a DNS server for a name and prints the addresses. */
const RESOLVE = `
const [server, name] = process.argv.slice(1);
const resolver = new (require('node:dns').promises.Resolver)({ timeout: 2000, tries: 3 });
resolver.setServers([server]);
resolver.resolve4(name).then((found) => console.log(found.join()));`;

/** Makes requests to an address and prints who answers, until `count` different pods did. Gives up after 200 requests. */
const ASK = `
const [url, count] = process.argv.slice(1);
const seen = new Set();
const ask = (left) => require('node:http').get(url, { agent: false, timeout: 5000 }, (answer) => {
  let body = '';
  answer.on('data', (data) => (body += data)).on('end', () => {
    seen.add(answer.statusCode + ' ' + body);
    if (seen.size < Number(count) && left > 1) ask(left - 1);
    else console.log([...seen].sort().join());
  });
}).on('timeout', function () { this.destroy(new Error('timeout')); });
ask(200);`;

type Run = (argv: readonly string[], options?: CommandOptions) => Promise<CommandResult>;

async function resolve(run: Run, name: string): Promise<string> {
  const { stdout, stderr } = await run([process.execPath, '-e', RESOLVE, DNS_ADDRESS, name]);
  return stdout.trim() || stderr;
}

async function ask(run: Run, url: string): Promise<string> {
  const { stdout, stderr } = await run([process.execPath, '-e', ASK, url, '2'], { timeoutMs: 20_000 });
  return stdout.trim() || stderr;
}

let server: KubeApiserver;
beforeAll(async () => {
  if (missing === undefined) server = await startKubeApiserver();
}, START_MS);
afterAll(async () => await server?.stop());
beforeEach(() => needs.machine(missing === undefined, missing ?? ''));

/** kube-proxy's jumps, as it has written them for years, and our own after them: flannel's tests want ours to be the last. */
const FORWARD = `-P FORWARD ACCEPT
-A FORWARD -m conntrack --ctstate NEW -m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL
-A FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD
-A FORWARD -m conntrack --ctstate NEW -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A FORWARD -m conntrack --ctstate NEW -m comment --comment "kubernetes externally-visible service portals" -j KUBE-EXTERNAL-SERVICES
-A FORWARD -m comment --comment "flanneld forward" -j FLANNEL-FWD
`;
const TABLES = 'table ip weft\ntable ip kube-proxy\n';

describe.for([
  { mode: 'iptables' as const, list: ['iptables', '--list-rules', 'FORWARD'], rules: FORWARD },
  { mode: 'nftables' as const, list: ['nft', 'list', 'tables', 'ip'], rules: TABLES },
])('Services by kube-proxy with $mode', ({ mode, list, rules }) => {
  const both = '200 web-1,200 web-2';
  let scene: ServiceScene;
  beforeAll(async () => {
    if (missing !== undefined) return;
    scene = await ServiceScene.start(server, mode);
    const [client] = scene.clients;
    if (client === undefined) throw new Error('no client');
    // A question before kube-proxy has written its rules would leave a tracked connection to nobody, which the doctor rightly names.
    const program = mode === 'iptables' ? ['iptables-save'] : ['nft', 'list', 'ruleset'];
    const hasRules = async (): Promise<boolean> => {
      const listed = await Promise.all(scene.lab.nodes.map(async (node) => await node.run(program)));
      return listed.every((text) => [WEB_ADDRESS, DNS_ADDRESS].every((address) => text.includes(address)));
    };
    await waitUntil(hasRules, LOOK_MS, 'kube-proxy’s rules on each node');
    const answers = async (): Promise<boolean> =>
      (await ask(client.exec.bind(client), `http://${WEB_ADDRESS}/`)) === both &&
      (await resolve(client.exec.bind(client), 'web.default.svc.cluster.local')) === WEB_ADDRESS;
    await waitUntil(answers, LOOK_MS, 'an answer by name and address').catch((error: Error) => {
      throw new Error(`${error.message}\n${scene.report()}`);
    });
  }, START_MS);
  afterAll(async () => await scene?.stop(), START_MS);

  test('names are resolved over the overlay, to cluster addresses', async () => {
    for (const client of scene.clients) {
      const run = client.exec.bind(client);
      expect(await resolve(run, 'kubernetes.default.svc.cluster.local')).toBe('10.96.0.1');
      expect(await resolve(run, 'web.default.svc.cluster.local')).toBe(WEB_ADDRESS);
    }
  });

  test('a Service of two pods on different nodes leads a pod of each node to both', async () => {
    for (const client of scene.clients)
      expect(await ask(client.exec.bind(client), `http://${WEB_ADDRESS}/`)).toBe(both);
  });

  test('a pod of the Service reaches both pods, itself included', async () => {
    for (const pod of scene.webPods) expect(await ask(pod.exec.bind(pod), `http://${WEB_ADDRESS}/`)).toBe(both);
  });

  test('the nodes reach both pods by the cluster address', async () => {
    for (const node of scene.lab.nodes) expect(await ask(node.exec.bind(node), `http://${WEB_ADDRESS}/`)).toBe(both);
  });

  test('a client outside of the cluster reaches both pods by a port of each node', async () => {
    const outside: Run = (argv, options) =>
      runCommand(['nsenter', `--net=/proc/${scene.lab.pid}/ns/net`, '--', ...argv], options);
    for (const { address } of scene.lab.nodes) {
      expect(await ask(outside, `http://${address}:${WEB_NODE_PORT}/`)).toBe(both);
    }
  });

  test('`flanneld doctor path` follows a packet through its rules to a pod behind the Service, here or there', async () => {
    const [client] = scene.clients;
    const [node] = scene.lab.nodes;
    if (client === undefined || node === undefined) throw new Error('no client');
    const behind = scene.webPods.map(({ ip }) => ip);
    for (const from of [client.ip, node.name]) {
      const { hops } = await expectPasses(node, from, WEB_ADDRESS, '80');
      const answer = hops.find(({ name }) => name === 'service')?.answer ?? '';
      expect(answer).toContain(`${WEB_ADDRESS}:80/tcp is translated to `);
      expect(behind.some((ip) => answer.includes(`${ip}:80`))).toBe(true);
    }
    const { hops } = await expectPasses(node, client.ip, DNS_ADDRESS, '53/udp');
    expect(hops.find(({ name }) => name === 'service')?.answer).toContain(`${DNS_ADDRESS}:53/udp is translated to `);
  });

  test('`flanneld doctor path` stops at a Service that has no pod', async () => {
    const spec = { clusterIP: EMPTY_ADDRESS, ports: [{ port: 80, protocol: 'TCP' }], selector: { app: 'nobody' } };
    const services = '/api/v1/namespaces/default/services';
    await server.must({ path: services, body: { metadata: { name: `empty-${mode}` }, spec } });
    onTestFinished(async () => void (await server.must({ method: 'DELETE', path: `${services}/empty-${mode}` })));
    const [client] = scene.clients;
    const [node] = scene.lab.nodes;
    if (client === undefined || node === undefined) throw new Error('no client');
    let ids: string[] = [];
    const isNamed = async (): Promise<boolean> => {
      ids = (await path(node, client.ip, EMPTY_ADDRESS, '80')).findings.map(({ id }) => id);
      return ids.includes('service-without-pods');
    };
    await waitUntil(isNamed, LOOK_MS, 'service-without-pods').catch(() => undefined);
    expect(ids).toEqual(['service-without-pods']);
  });

  test('its rules and the agent’s are beside each other', async () => {
    for (const node of scene.lab.nodes) expect(await node.run(list)).toBe(rules);
  });
});
