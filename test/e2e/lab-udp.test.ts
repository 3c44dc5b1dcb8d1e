// A whole lab with the udp backend. Packets go through the agents' TUN devices and are on the wire as flannel's udp sends them.

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { countBothWays } from '../faults/probe/both-ways.ts';
import { SUBNET_FILE } from '../lab/contract.ts';
import { type Lab, startLab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import { answered, failed } from '../lab/matrix.ts';
import { subnetOf } from '../lab/mesh.ts';
import { waitUntil } from '../lab/processes.ts';
import { dropLease, readLeaseText, writeLease, writeLeaseText } from '../lab/support/leases.ts';
import { statusReport } from '../lab/support/status.ts';
import { hasTun, tunNeeded } from '../support/has-tun.ts';
import { needs } from '../support/needs.ts';

const LOOK_MS = 10_000;
const netConf = { Network: '10.244.0.0/16', SubnetMax: '10.244.50.0', Backend: { Type: 'udp' } };

/** The number of ICMP errors of type 3 that the node's kernel has received. */
async function unreachables(node: LabNode): Promise<number> {
  const [names = '', values = ''] = (await node.run(['cat', '/proc/net/snmp']))
    .split('\n')
    .filter((line) => line.startsWith('Icmp: '));
  return Number(values.split(' ')[names.split(' ').indexOf('InDestUnreachs')]);
}

describe('two nodes with udp', () => {
  let lab: Lab | undefined;
  let one: LabNode;
  let two: LabNode;
  const theLab = (): Lab => lab ?? expect.fail('no lab');
  const peers = (node: LabNode, count: number): Promise<void> =>
    waitUntil(
      async () => (await statusReport(node)).overlays[0]?.peers.programmed === count,
      LOOK_MS,
      `${count} peers`,
    );
  const allPairs = (): Promise<void> =>
    waitUntil(async () => failed(await theLab().matrix()).length === 0, LOOK_MS, 'all pairs');

  beforeAll(async () => {
    if (!hasTun) return;
    lab = await startLab({ nodes: 2, netConf, agent: { start: false } });
    [one, two] = [lab.node('node-1'), lab.node('node-2')];
    for (const node of lab.nodes) await node.agent.start();
    for (const node of lab.nodes) await node.agent.ready();
    for (const node of lab.nodes) await peers(node, 1);
    for (const node of lab.nodes) await node.addPod();
  });
  afterAll(() => lab?.down());
  beforeEach(() => needs.machine(hasTun, tunNeeded));

  test('have a TUN device with flannel’s name, address, MTU and route', async () => {
    const [link] = JSON.parse(await one.run(['ip', '-j', '-d', 'link', 'show', 'flannel0'])) as Record<
      string,
      unknown
    >[];
    expect(link).toMatchObject({ mtu: 1472, linkinfo: { info_kind: 'tun', info_data: { type: 'tun', pi: false } } });
    const base = subnetOf(one)?.replace('/24', '');
    expect(await one.run(['ip', '-o', '-4', 'address', 'show', 'dev', 'flannel0'])).toContain(` ${base}/32 `);
    expect(await one.run(['ip', 'route', 'show', '10.244.0.0/16'])).toMatch(/^10\.244\.0\.0\/16 dev flannel0 /);
    expect(one.readFile(SUBNET_FILE)).toContain('FLANNEL_MTU=1472\n');
    const { Subnet, ...lease } = JSON.parse(readLeaseText(theLab(), 'node-1')) as Record<string, unknown>;
    expect([Subnet, lease]).toEqual([subnetOf(one), { PublicIP: one.address, BackendType: '' }]);
    expect(await statusReport(one)).toMatchObject({
      backend: 'udp',
      ready: true,
      overlays: [{ device: 'flannel0', port: 8285, mtu: 1472, peers: { wanted: 1, programmed: 1, failing: 0 } }],
    });
  });

  test('carry packets of every size a pod may send, between pods and nodes', async () => {
    await allPairs();
    const [from, to] = [one.pods[0], two.pods[0]];
    if (from === undefined || to === undefined) throw new Error('a pod is missing');
    expect(answered(await from.ping([to.ip], { dontFragment: true, payloadBytes: 1444 }))).toHaveLength(1);
    expect(answered(await one.ping([to.ip]))).toHaveLength(1);
  });

  test('tell the sender that a network is unreachable when no node has it', async () => {
    const before = await unreachables(one);
    // The kernel's counter is read, because the kernel does not report an error with this code to a UDP socket.
    const program = `require('dgram').createSocket('udp4').send('x', 9, '10.244.199.9', () => process.exit(0))`;
    await one.run([process.execPath, '-e', program]);
    await waitUntil(async () => (await unreachables(one)) > before, LOOK_MS, 'the error');
  });

  test.for([
    { name: 'the route removed', harm: 'ip route del 10.244.0.0/16' },
    { name: 'the device set down', harm: 'ip link set flannel0 down' },
    { name: 'the address removed', harm: 'ip address flush dev flannel0' },
    { name: 'the whole device deleted', harm: 'ip link del flannel0' },
  ])('heal $name', async ({ harm }) => {
    const { drift } = await statusReport(one);
    await one.run(harm.split(' '));
    await waitUntil(
      async () => (await statusReport(one)).drift.entries.length > drift.entries.length,
      LOOK_MS,
      'the repair',
    );
    await allPairs();
  });

  test('continue with their peers after a restart, without a peer that left meanwhile', async () => {
    const ghost = { Subnet: '10.244.200.0/24', PublicIP: '192.168.50.99', BackendType: '' };
    writeLeaseText(theLab(), 'ghost', JSON.stringify(ghost));
    writeLease(theLab(), 'vtep', { subnet: '10.244.201.0/24', publicIp: '192.168.50.98', mac: '02:00:00:00:0a:01' });
    await peers(one, 2);
    expect((await statusReport(one)).overlays[0]?.problems).toEqual([
      { key: 'vtep', reason: 'backend type is "vxlan", not ""' },
    ]);
    await one.agent.stop();
    expect((await one.exec(['ip', 'link', 'show', 'flannel0'])).exitCode).not.toBe(0);
    for (const name of ['ghost', 'vtep']) dropLease(theLab(), name);
    await one.agent.start();
    await one.agent.ready();
    await peers(one, 1);
    await allPairs();
  });

  test('follow a node to another address', async () => {
    const [from, to] = [one.pods[0], two.pods[0]];
    if (from === undefined || to === undefined) throw new Error('a pod is missing');
    await countBothWays('udp, address replaced', [from, to], async () => {
      await one.run(['ip', 'address', 'del', `${one.address}/24`, 'dev', 'eth0']);
      await one.run(['ip', 'address', 'add', '192.168.50.201/24', 'dev', 'eth0']);
      const published = (): unknown =>
        (JSON.parse(readLeaseText(theLab(), 'node-1')) as { PublicIP?: unknown }).PublicIP;
      await waitUntil(() => published() === '192.168.50.201', LOOK_MS, 'the new address');
      await one.agent.ready();
    });
    await allPairs();
  });
});
