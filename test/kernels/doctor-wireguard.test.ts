// `flanneld doctor`, `doctor path` and the agents' probes on nodes with WireGuard: nothing is found on healthy nodes, each fault is named, and
// nothing is left when it is over.

import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import type { Lab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import { subnetOf } from '../lab/mesh.ts';
import { waitUntil } from '../lab/processes.ts';
import { readLeaseText } from '../lab/support/leases.ts';
import { statusReport } from '../lab/support/status.ts';
import { commandOf, doctor, expectHealthy, FLAGS_OF_LAB, findingOf } from '../support/doctor.ts';
import { needs } from '../support/needs.ts';
import { backAgain, dropBetween, healthyNodes, PROBED_MS, startNodes } from './diagnosed-nodes.ts';
import { hasLinkKind } from './has-link-kind.ts';

const hasWireguard = hasLinkKind('wireguard');

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

  healthyNodes(() => ({ lab, one, two }));

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
    // Only a handshake that the other node begins shows that its key is right. It does so after 15 s without an answer to its probes.
    const isAsked = async (): Promise<boolean> =>
      Number((await two.run(['wg', 'show', 'flannel-wg', 'transfer'])).split('\t')[1]) > 0;
    await waitUntil(isAsked, PROBED_MS, 'a handshake that node-1 begins');
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
    // WireGuard keeps the address that it sends from until the endpoint changes.
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
