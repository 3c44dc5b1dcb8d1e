// Overlays with IPv6 only and with both families: the kernel state (which must be flannel's), traffic, and repairs.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { MOMENTARY_DEVICES } from '../../flanneld/pods/refusal/inject.ts';
import { NET_CONF_FILE, SUBNET_FILE } from '../lab/contract.ts';
import { type Lab, startLab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import type { LabPod } from '../lab/lab-pod.ts';
import { waitUntil } from '../lab/processes.ts';
import { slowed } from '../support/slowness.ts';

const LOOK_MS = 10_000;
const PORT = 7000;
const ipv6 = { EnableIPv6: true, IPv6Network: 'fd00:10:244::/48', Backend: { Type: 'vxlan' } };

type Json = Record<string, unknown>;

async function json(node: LabNode, command: string): Promise<Json[]> {
  return JSON.parse((await node.run(command.split(' '))) || '[]') as Json[];
}

/** Starts two nodes with a pod each, and gives the underlay IPv6 addresses, which the lab does not do itself. */
async function startDualLab(netConf: Json): Promise<Lab> {
  const lab = await startLab({ nodes: 2, netConf: netConf as never, agent: { start: false } });
  for (const node of lab.nodes) {
    const host = node.address.split('.')[3];
    await node.run(['ip', '-6', 'address', 'add', `fd00:50::${host}/64`, 'dev', 'eth0', 'nodad']);
    await node.run(['ip', '-6', 'route', 'add', 'default', 'via', 'fd00:50::1', 'dev', 'eth0']);
  }
  for (const node of lab.nodes) await node.agent.start();
  for (const node of lab.nodes) await node.agent.ready();
  await waitUntil(async () => (await peers(lab)).every(({ length }) => length === 1), LOOK_MS, 'the mesh');
  for (const node of lab.nodes) await node.addPod();
  return lab;
}

function peers(lab: Lab): Promise<Json[][]> {
  return Promise.all(lab.nodes.map((node) => json(node, 'ip -j -6 route show dev flannel-v6.1 proto 138')));
}

/** Sends `bytes` bytes over TCP to another pod's echo server. Resolves to how many came back. */
async function echoed(from: LabPod, to: LabPod, ip: string, bytes: number): Promise<number> {
  const server = `const s = require('net').createServer((c) => { c.pipe(c); c.on('close', () => s.close()); });
    s.listen({ host: '${ip}', port: ${PORT} })`;
  const client = `const s = require('net').connect({ host: '${ip}', port: ${PORT} }); let got = 0;
    s.on('connect', () => s.end(Buffer.alloc(${bytes}))); s.on('data', (d) => (got += d.length));
    s.on('error', (e) => (console.error(e.code), process.exit(1))); s.on('end', () => console.log(got))`;
  const serving = to.exec(['timeout', String(slowed(10)), process.execPath, '-e', server]);
  let result = await from.exec(['timeout', String(slowed(5)), process.execPath, '-e', client]);
  for (let attempt = 0; result.stderr.includes('ECONNREFUSED') && attempt < 50; attempt++) {
    result = await from.exec(['timeout', String(slowed(5)), process.execPath, '-e', client]);
  }
  await serving;
  return Number(result.stdout.trim() || Number.NaN);
}

const isIpv6 = (ip: string): boolean => ip.includes(':');

describe.for([
  { name: 'IPv6 alone', netConf: { EnableIPv4: false, ...ipv6 }, families: 1 },
  { name: 'both families', netConf: { Network: '10.244.0.0/16', ...ipv6 }, families: 2 },
])('an overlay of $name', ({ netConf, families }) => {
  let lab: Lab;
  let one: LabNode;
  let two: LabNode;
  beforeAll(async () => {
    lab = await startDualLab(netConf);
    [one, two] = [lab.node('node-1'), lab.node('node-2')];
  });
  afterAll(() => lab?.down());

  const env = (node: LabNode, key: string): string =>
    new RegExp(`^${key}=(.*)$`, 'm').exec(node.readFile(SUBNET_FILE))?.[1] ?? '';
  /** The first address of the node's IPv6 subnet. */
  const base = (node: LabNode): string => env(node, 'FLANNEL_IPV6_SUBNET').replace('::1/64', '::');

  test('has the device, address and peer that flannel would make', async () => {
    const [link] = await json(one, 'ip -j -d link show flannel-v6.1');
    const host = one.address.split('.')[3];
    expect(link).toMatchObject({
      mtu: 1430,
      linkinfo: { info_kind: 'vxlan', info_data: { id: 1, local6: `fd00:50::${host}`, port: 8472, learning: false } },
    });
    const shown = await json(one, 'ip -j -6 address show dev flannel-v6.1 scope global');
    // ip prints an empty object for each address that it leaves out.
    const addresses = ((shown[0]?.['addr_info'] ?? []) as Json[]).filter(({ local }) => local !== undefined);
    expect(addresses).toMatchObject([{ local: base(one), prefixlen: 128 }]);
    const [far] = await json(two, 'ip -j link show flannel-v6.1');
    const mac = far?.['address'];
    expect(await json(one, 'ip -j -6 neigh show dev flannel-v6.1 nud permanent')).toMatchObject([
      { dst: base(two), lladdr: mac, state: ['PERMANENT'] },
    ]);
    expect(await json(one, 'bridge -j fdb show dev flannel-v6.1')).toMatchObject([
      { mac, dst: `fd00:50::${two.address.split('.')[3]}`, flags: ['self'], state: 'permanent' },
    ]);
    expect(await json(one, 'ip -j -6 route show dev flannel-v6.1 proto 138')).toMatchObject([
      { dst: `${base(two)}/64`, gateway: base(two), flags: ['onlink'] },
    ]);
    const devices = await json(one, 'ip -j link show type vxlan');
    // The agent may just be testing whether rules refuse the packets of the new pod.
    const lasting = devices.filter(({ ifname }) => !MOMENTARY_DEVICES.includes(String(ifname)));
    expect(lasting).toHaveLength(families);
  });

  test('D17: tells pods the smaller MTU, and advertises only the families that are enabled', async () => {
    expect(env(one, 'FLANNEL_MTU')).toBe('1430');
    expect(env(one, 'FLANNEL_IPV6_NETWORK')).toBe('fd00:10:244::/48');
    expect(env(one, 'FLANNEL_NETWORK')).toBe(families === 2 ? '10.244.0.0/16' : '');
    const tables = await one.run(['nft', 'list', 'tables']);
    expect(tables).toContain('table ip6 weft');
    expect(tables.includes('table ip weft')).toBe(families === 2);
  });

  test('carries traffic between pods in every family, more than fits into one packet', async () => {
    const [from, to] = [one.pods[0], two.pods[0]];
    if (from === undefined || to === undefined) throw new Error('a pod is missing');
    expect(to.ips).toHaveLength(families);
    expect(to.ips.some(isIpv6)).toBe(true);
    for (const ip of to.ips) expect(await echoed(from, to, ip, 100_000), ip).toBe(100_000);
  });

  test.for([
    { name: 'heals a route', harm: (node: LabNode) => `ip -6 route del ${base(node)}/64` },
    { name: 'heals a neighbour', harm: (node: LabNode) => `ip -6 neigh del ${base(node)} dev flannel-v6.1` },
    { name: 'heals the address', harm: () => 'ip -6 address flush dev flannel-v6.1 scope global' },
    { name: 'heals the device set down', harm: () => 'ip link set flannel-v6.1 down' },
    { name: 'D22: heals the whole device', harm: () => 'ip link del flannel-v6.1' },
  ])('$name', async ({ harm }) => {
    const before = await state();
    await one.run(harm(two).split(' '));
    await waitUntil(async () => (await state().catch(() => '')) === before, LOOK_MS, 'the state as before');
  });

  test('has its rules in ip6tables where EnableNFTables is false, and in iptables only with IPv4', async () => {
    const chains = async (program: string): Promise<number> =>
      (await one.run([`${program}-save`])).split('\n').filter((line) => line.includes('FLANNEL')).length;
    await one.agent.stop();
    one.writeFile(NET_CONF_FILE, JSON.stringify({ ...netConf, EnableNFTables: false }));
    await one.agent.start();
    await one.agent.ready();
    expect(await chains('ip6tables')).toBe(12);
    expect(await chains('iptables')).toBe(families === 2 ? 12 : 0);
    expect(await one.run(['ip6tables-save', '-t', 'nat'])).toContain(
      '-A FLANNEL-POSTRTG -s fd00:10:244::/48 ! -d ff00::/8 -m comment --comment "flanneld masq" -j MASQUERADE --random-fully',
    );
    // Only the tunnel's shield and guard stay in nftables, because iptables cannot express them.
    const tables = (await one.run(['nft', 'list', 'tables'])).split('\n').filter((line) => line.includes('weft'));
    expect(tables.sort()).toEqual(['table arp weft', 'table inet weft']);
    await one.run(['ip6tables', '-t', 'nat', '-F']);
    await waitUntil(async () => (await chains('ip6tables')) === 12, LOOK_MS, 'the rules again');
    await one.agent.stop();
    one.writeFile(NET_CONF_FILE, JSON.stringify(netConf));
    await one.agent.start();
    await one.agent.ready();
    expect(await chains('ip6tables')).toBe(0);
  });

  test('removes a peer that left, in both families', async () => {
    await two.agent.stop();
    await one.run(['rm', '/run/lab/leases/node-2.json']);
    await waitUntil(async () => (await peers(lab))[0]?.length === 0, LOOK_MS, 'no peer');
    for (const command of ['-6 neigh show nud permanent', '-6 route show dev flannel-v6.1 proto 138', 'nexthop show']) {
      expect(await one.run(['ip', ...command.split(' ')]), command).toBe('');
    }
    await two.agent.start();
    await waitUntil(async () => (await peers(lab)).every(({ length }) => length === 1), LOOK_MS, 'the peer again');
  });

  /** The whole kernel state of the IPv6 overlay on node-1, without what differs in a new device. */
  async function state(): Promise<string> {
    const commands = [
      'ip -j -6 address show dev flannel-v6.1 scope global',
      'ip -j -6 neigh show dev flannel-v6.1 nud permanent',
      'bridge -j fdb show dev flannel-v6.1',
      'ip -j -6 route show dev flannel-v6.1 proto 138',
    ];
    const parts = await Promise.all(commands.map((command) => json(one, command)));
    return JSON.stringify(parts, (key, value: unknown) => (key === 'ifindex' ? undefined : value));
  }
});
