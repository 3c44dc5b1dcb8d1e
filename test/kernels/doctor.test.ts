// `flanneld doctor`, `doctor path` and the agents' probes on nodes with WireGuard and with IPIP: nothing is found on healthy nodes, each
// fault is named, and nothing is left when it is over.

import { execFileSync } from 'node:child_process';
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { expectPasses } from '../doctor/path-scene.ts';
import { type Lab, startLab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import { subnetOf } from '../lab/mesh.ts';
import { waitUntil } from '../lab/processes.ts';
import { readLeaseText } from '../lab/support/leases.ts';
import { allPodsReach, statusReport } from '../lab/support/status.ts';
import { commandOf, doctor, expectHealthy, FLAGS_OF_LAB, findingOf } from '../support/doctor.ts';
import { needs } from '../support/needs.ts';
import { hasLinkKind } from './has-link-kind.ts';

/** The agents name a fault among few nodes after some ten seconds. */
const PROBED_MS = 40_000;

const hasWireguard = hasLinkKind('wireguard');
const hasIpip = hasLinkKind('ipip', 'local', '192.0.2.1');

/** Drops what `match` says between both nodes, in both directions, in the switch; ends it with the test. */
function dropBetween(lab: Lab, one: LabNode, two: LabNode, match: string): () => void {
  const nft = (input: string): Buffer =>
    execFileSync('nsenter', [`--net=/proc/${lab.pid}/ns/net`, 'nft', '-f', '-'], { input: `${input}\n` });
  const drop = (from: LabNode, to: LabNode): string =>
    `    ether type ip ip saddr ${from.address} ip daddr ${to.address} ${match} drop\n`;
  nft(
    `table bridge fault {\n  chain forward {\n    type filter hook forward priority 0\n${drop(one, two)}${drop(two, one)}  }\n}`,
  );
  const end = (): void => void nft('table bridge fault\ndelete table bridge fault');
  onTestFinished(end);
  return end;
}

async function backAgain(node: LabNode): Promise<void> {
  if ((await node.agent.state()).running) return;
  await node.agent.start();
  await node.agent.ready();
}

async function startNodes(Backend: { readonly Type: string }): Promise<Lab> {
  const lab = await startLab({ nodes: 2, netConf: { Network: '10.244.0.0/16', Backend } });
  for (const node of lab.nodes) await node.addPod();
  await allPodsReach(lab);
  return lab;
}

/** The same for both backends. */
function healthy(nodes: () => { lab: Lab; one: LabNode; two: LabNode }): void {
  test('finds no error on healthy nodes, and without an agent only that it is missing', async () => {
    const { lab, one } = nodes();
    for (const node of lab.nodes) await expectHealthy(node);
    await one.agent.kill();
    onTestFinished(() => backAgain(one));
    const { findings } = await doctor(one, FLAGS_OF_LAB);
    expect(findings.filter(({ severity }) => severity === 'error').map(({ id }) => id)).toEqual(['agent-not-running']);
  });

  test('follows a packet from a pod to a pod of the other node', async () => {
    const { one, two } = nodes();
    const report = await expectPasses(one, one.pods[0]?.ip ?? '', two.pods[0]?.ip ?? '');
    expect(report.hops.map(({ name }) => name)).toEqual(expect.arrayContaining(['device', 'underlay', 'mtu']));
  });

  test('lets the agents probe each other', async () => {
    const { lab } = nodes();
    for (const node of lab.nodes) {
      const isReachable = async (): Promise<boolean> => (await statusReport(node)).probes?.states.reachable === 1;
      await waitUntil(isReachable, PROBED_MS, `the peer of ${node.name} reachable`);
    }
  });
}

describe('two nodes with WireGuard', () => {
  let lab: Lab;
  let one: LabNode;
  let two: LabNode;
  beforeEach(() => needs.machine(hasWireguard, 'WireGuard in the kernel'));
  beforeAll(async () => {
    if (!hasWireguard) return;
    lab = await startNodes({ Type: 'wireguard' });
    [one, two] = [lab.node('node-1'), lab.node('node-2')];
  });
  afterAll(() => lab?.down());

  const keyOf = (node: LabNode): string =>
    (JSON.parse(readLeaseText(lab, node.name)) as { BackendData: { PublicKey: string } }).BackendData.PublicKey;

  healthy(() => ({ lab, one, two }));

  test('names a blocked port on both nodes, in the doctor and by the probes', async () => {
    const end = dropBetween(lab, one, two, 'udp dport 51820');
    for (const [node, other] of [[one, two] as const, [two, one] as const]) {
      const finding = await findingOf(node, 'wireguard-no-handshake');
      expect(finding.peer).toBe(other.name);
      expect(finding.cause).toContain('UDP port 51820');
      expect(finding.evidence).toMatch(/latest handshake \d+ s ago, \d+ bytes received, \d+ sent/);
      const isNamed = async (): Promise<boolean> =>
        (await statusReport(node)).findings?.some(({ id }) => id === 'wireguard-no-handshake') === true;
      await waitUntil(isNamed, PROBED_MS, `the finding of the agent of ${node.name}`);
    }
    end();
    for (const node of lab.nodes) await expectHealthy(node);
  });

  test('names a key that the lease does not have, here and there, and a restart ends it', async () => {
    await two.agent.kill();
    onTestFinished(() => backAgain(two));
    await two.run(['sh', '-c', 'wg genkey > /run/other && wg set flannel-wg private-key /run/other; rm /run/other']);
    const own = await findingOf(two, 'wireguard-key-mismatch', FLAGS_OF_LAB);
    expect(own.evidence).toContain(keyOf(two));
    expect((await findingOf(one, 'wireguard-no-handshake')).peer).toBe('node-2');
    await backAgain(two);
    for (const node of lab.nodes) await expectHealthy(node);
  });

  test('names a preshared key that only one node has', async () => {
    const [peer, endpoint] = [keyOf(one), `${one.address}:51820`];
    await two.agent.kill();
    onTestFinished(() => backAgain(two));
    const set = `wg set flannel-wg peer ${peer}`;
    const again = `${set} endpoint ${endpoint} allowed-ips ${subnetOf(one)} preshared-key /run/psk`;
    await two.run(['sh', '-c', `wg genpsk > /run/psk && ${set} remove && ${again}; rm /run/psk`]);
    const finding = await findingOf(two, 'wireguard-no-handshake', FLAGS_OF_LAB);
    expect(finding.cause).toContain('preshared keys differ');
    await backAgain(two);
    for (const node of lab.nodes) await expectHealthy(node);
  });

  test('tells that a peer sends from another address than its lease says, which is no error', async () => {
    const peer = `wg set flannel-wg peer ${keyOf(one)} endpoint ${one.address}`;
    await two.run(['ip', 'addr', 'add', '192.168.50.112/24', 'dev', 'eth0']);
    await two.run(['ip', 'route', 'add', one.address, 'dev', 'eth0', 'src', '192.168.50.112']);
    onTestFinished(async () => {
      await two.run(['sh', '-c', `ip route del ${one.address} dev eth0; ip addr del 192.168.50.112/24 dev eth0`]);
      await two.run(['sh', '-c', `${peer}:1; ${peer}:51820`]);
    });
    // WireGuard remembers from which address it sends until the endpoint is another one.
    await two.run(['sh', '-c', `${peer}:1; ${peer}:51820`]);
    await two.pods[0]?.ping([one.pods[0]?.ip ?? '']);
    const finding = await findingOf(one, 'wireguard-endpoint-moved');
    expect(finding).toMatchObject({ peer: 'node-2', severity: 'info' });
    expect(finding.evidence).toContain('192.168.50.112 port 51820; its lease says 192.168.50.12 port 51820');
    await expectHealthy(one);
  });

  test.for([
    { id: 'peer-entry-missing', make: () => `wg set flannel-wg peer ${keyOf(two)} remove` },
    { id: 'route-missing', make: () => 'ip route del 10.244.0.0/16 dev flannel-wg' },
    { id: 'device-missing', make: () => 'ip link set flannel-wg down' },
  ])('prints for $id the command that ends it', async ({ id, make }) => {
    await one.agent.kill();
    onTestFinished(() => backAgain(one));
    await one.run(['sh', '-c', make()]);
    const command = commandOf(await findingOf(one, id, FLAGS_OF_LAB));
    expect(command).toBeDefined();
    await one.run(['sh', '-c', command ?? 'false']);
    const { findings } = await doctor(one, FLAGS_OF_LAB);
    expect(findings.map((finding) => finding.id)).not.toContain(id);
    await backAgain(one);
    await expectHealthy(one);
  });
});

describe('two nodes with IPIP', () => {
  let lab: Lab;
  let one: LabNode;
  let two: LabNode;
  beforeEach(() => needs.machine(hasIpip, 'IPIP in the kernel'));
  beforeAll(async () => {
    if (!hasIpip) return;
    lab = await startNodes({ Type: 'ipip' });
    [one, two] = [lab.node('node-1'), lab.node('node-2')];
  });
  afterAll(() => lab?.down());

  healthy(() => ({ lab, one, two }));

  test.for([
    { name: 'a blocked protocol', match: 'ip protocol 4', id: 'tunnel-port-blocked', says: 'IP protocol 4' },
    { name: 'a path with a smaller MTU', match: 'ip length > 1400', id: 'path-mtu-too-small', says: '1380 bytes' },
    { name: 'a peer that nothing reaches', match: '', id: 'peer-unreachable', says: '192.168.50.12' },
  ])('names $name', async ({ match, id, says }) => {
    const end = dropBetween(lab, one, two, match);
    const finding = await findingOf(one, id);
    expect(finding.peer).toBe('node-2');
    expect(finding.cause + finding.evidence).toContain(says);
    end();
    for (const node of lab.nodes) await expectHealthy(node);
  });

  test('prints for a missing route the command that ends it', async () => {
    await one.agent.kill();
    onTestFinished(() => backAgain(one));
    await one.run(['ip', 'route', 'del', subnetOf(two) ?? '']);
    const command = commandOf(await findingOf(one, 'route-missing', FLAGS_OF_LAB));
    expect(command).toContain(`via ${two.address} dev flannel.ipip onlink`);
    await one.run(['sh', '-c', command ?? 'false']);
    const { findings } = await doctor(one, FLAGS_OF_LAB);
    expect(findings.map((finding) => finding.id)).not.toContain('route-missing');
  });
});
