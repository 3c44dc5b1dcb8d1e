// Settings with which the agent refuses to start: it prints one clear line, exits with a code other than 0, and has changed nothing.

import { readdirSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { CommandResult } from '../lab/command.ts';
import { LEASE_FOLDER, NET_CONF_FILE, SUBNET_FILE } from '../lab/contract.ts';
import { type Lab, startLab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import { builtAgent } from '../lab/programs.ts';

let lab: Lab;
let node: LabNode;

beforeAll(async () => {
  lab = await startLab({ nodes: 1, agent: false });
  node = lab.node('node-1');
});
afterAll(() => lab?.down());
afterEach(() => node.writeFile(NET_CONF_FILE, '{"Network":"10.244.0.0/16"}'));

const usual = [`--net-config-path=${NET_CONF_FILE}`, `--subnet-dir=${LEASE_FOLDER}`, `--subnet-file=${SUBNET_FILE}`];

async function agent(args: readonly string[] = ['--iface=eth0'], netConf?: object): Promise<CommandResult> {
  if (netConf !== undefined) node.writeFile(NET_CONF_FILE, JSON.stringify(netConf));
  return await node.exec([builtAgent, ...usual, '--node-name=node-1', ...args], { timeoutMs: 20_000 });
}

/** The message of the last log line, which says why the agent ended. */
function lastWords({ stderr }: CommandResult): string {
  const line = stderr.trim().split('\n').at(-1) ?? '';
  const { err, msg } = JSON.parse(line) as Record<string, string>;
  return `${msg}: ${err}`;
}

async function leftovers(): Promise<string[]> {
  const links = JSON.parse(await node.run(['ip', '-j', 'link', 'show', 'type', 'vxlan'])) as { ifname?: string }[];
  const tables = await node.run(['nft', 'list', 'tables']);
  const files = readdirSync(lab.leaseFolder).filter((name) => !name.startsWith('.'));
  return [...links.flatMap(({ ifname }) => ifname ?? []), ...tables.split('\n').filter(Boolean), ...files];
}

describe('a wrong configuration', () => {
  test.for<{ name: string; netConf: object; want: string }>([
    { name: 'a wrong type', netConf: { Network: 10 }, want: 'net-conf: Network: expected an IPv4 CIDR' },
    {
      name: 'an unknown backend',
      netConf: { Network: '10.244.0.0/16', Backend: { Type: 'vxlam' } },
      want: 'net-conf: Backend.Type: unknown backend type: "vxlam", expected one of vxlan',
    },
    {
      name: 'a backend of flannel’s that Weft has not',
      netConf: { Network: '10.244.0.0/16', Backend: { Type: 'ipsec' } },
      want: 'net-conf: Backend.Type: Weft has no backend ipsec: it needs strongSwan’s daemon on each node to agree on keys; use wireguard',
    },
    {
      name: 'a VNI out of range',
      netConf: { Network: '10.244.0.0/16', Backend: { Type: 'vxlan', VNI: 16777216 } },
      want: 'net-conf: Backend.VNI: expected integer 1–16777215, got 16777216',
    },
    {
      name: 'a network around the underlay',
      netConf: { Network: '192.168.0.0/16' },
      want: 'of eth0 lies inside the cluster network 192.168.0.0/16',
    },
  ])('$name', async ({ netConf, want }) => {
    const result = await agent(['--iface=eth0'], netConf);
    expect([result.exitCode, lastWords(result)]).toEqual([1, expect.stringContaining(want)]);
    expect(await leftovers()).toEqual([]);
  });

  test('an interface that does not exist', async () => {
    const result = await agent(['--iface=nope0']);
    expect([result.exitCode, lastWords(result)]).toEqual([1, expect.stringContaining('--iface=nope0: no interface')]);
  });

  const allowed = 'expected an IPv4 unicast address that other nodes can send to';
  test.for([
    { ip: '127.0.0.1', code: 2, want: `${allowed}, got "127.0.0.1", which is a loopback address` },
    { ip: '0.0.0.0', code: 2, want: `${allowed}, got "0.0.0.0", which is the unspecified address` },
    { ip: '224.0.0.1', code: 2, want: `${allowed}, got "224.0.0.1", which is a multicast address` },
    { ip: '255.255.255.255', code: 2, want: `${allowed}, got "255.255.255.255", which is the broadcast address` },
    {
      ip: '192.168.50.255',
      code: 1,
      want: `${allowed}, outside the pod network 10.244.0.0/16, got "192.168.50.255", which is the broadcast address of`,
    },
    {
      ip: '10.244.9.9',
      code: 1,
      want: `${allowed}, outside the pod network 10.244.0.0/16, got "10.244.9.9", which lies inside the pod network`,
    },
  ])('--public-ip=$ip', async ({ ip, code, want }) => {
    const netConf = { Network: '10.244.0.0/16', Backend: { Type: 'vxlan' } };
    const result = await agent(['--iface=eth0', `--public-ip=${ip}`], netConf);
    expect(result.exitCode).toBe(code);
    expect(code === 2 ? result.stderr : lastWords(result)).toContain(`--public-ip: ${want}`);
    expect(await leftovers()).toEqual([]);
  });

  test('host-gw with an address of another machine', async () => {
    const netConf = { Network: '10.244.0.0/16', Backend: { Type: 'host-gw' } };
    const result = await agent(['--iface=eth0', '--public-ip=203.0.113.9'], netConf);
    const want = `host-gw needs nodes that reach each other without NAT: the address to advertise is 203.0.113.9, but eth0 has ${node.address}; use the backend vxlan`;
    expect([result.exitCode, lastWords(result)]).toEqual([1, expect.stringContaining(want)]);
    expect(await leftovers()).toEqual([]);
  });

  test('no interface is named and there is no default route', async () => {
    const routes = await node.run(['ip', 'route', 'show', 'default']);
    await node.run(['ip', 'route', 'flush', 'exact', 'default']);
    const result = await agent([]);
    for (const route of routes.split('\n').filter(Boolean))
      await node.run(['ip', 'route', 'add', ...route.split(' ').filter(Boolean)]);
    expect([result.exitCode, lastWords(result)]).toEqual([1, expect.stringContaining('there is none for IPv4')]);
  });

  test('a conflist that is not one', async () => {
    node.writeFile('/tmp/cni-conf.json', '{"plugins":[]}');
    const result = await agent(['--iface=eth0', '--cni-conf=/tmp/cni-conf.json']);
    expect([result.exitCode, lastWords(result)]).toEqual([
      1,
      expect.stringContaining('expected a plugin of type flannel'),
    ]);
  });

  test('D1: an unknown flag ends it with code 2 and a suggestion', async () => {
    const result = await agent(['--ifcae=eth0']);
    expect(result).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('--iface') });
  });
});

describe('a node that cannot have the device', () => {
  test.for([
    {
      name: 'the VNI on that port is another device’s',
      other: 'id 1 local 192.168.50.200 dev eth0 dstport 8472',
      want: 'vxlan: create flannel.1: in use (VNI 1 on UDP port 8472 is in use by VXLAN device other0)',
    },
    {
      name: 'the port is a device’s that takes every VNI',
      other: 'external dstport 8472',
      want: 'vxlan: create flannel.1: in use (UDP port 8472 is in use by VXLAN device other0)',
    },
  ])('$name', async ({ other, want }) => {
    await node.run(['ip', 'link', 'add', 'other0', 'type', 'vxlan', ...other.split(' ')]);
    await node.run(['ip', 'link', 'set', 'other0', 'up']);
    const result = await agent();
    const names = await leftovers();
    await node.run(['ip', 'link', 'del', 'other0']);
    expect([result.exitCode, lastWords(result)]).toEqual([1, `cannot run: ${want}`]);
    expect(names.filter((name) => name !== 'other0' && name !== 'node-1.json')).toEqual([]);
  });

  test('an underlay whose MTU is too small', async () => {
    await node.run(['ip', 'link', 'set', 'eth0', 'mtu', '100']);
    const result = await agent();
    await node.run(['ip', 'link', 'set', 'eth0', 'mtu', '1500']);
    const want = 'vxlan: use eth0 with MTU 100: too small (VXLAN over IPv4 needs an interface MTU of at least 118)';
    expect([result.exitCode, lastWords(result)]).toEqual([1, `cannot run: ${want}`]);
  });
});
