// The contract that every subnet manager keeps, as tests that are run on each store: directory, etcd, Kubernetes.

import { setMaxListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import type { LeaseAttributes, LeaseSnapshot, SubnetManager } from '../../flanneld/subnet/manager.ts';
import { inOrderOfCreation } from '../../flanneld/subnet/precedence.ts';
import { containsPrefix, formatPrefix, overlaps, parseIp, parsePrefix } from '../../lib/ip.ts';
import { field, isJsonObject, jsonObject } from '../../lib/json.ts';
import { follow, publicIpOf, subnetsOf } from './follow.ts';

/** One cluster with one store, which is empty except for its configuration. */
export interface ContractSite {
  /** Returns a new agent's manager for `node`. From then on, the store knows the node. */
  manager(node: string): Promise<SubnetManager>;
  /** The key of this node's lease. */
  keyOf(node: string, subnets: string): string;
  /** Writes the lease of another node, or changes it. */
  putPeer(node: string, subnets: string, attributes: LeaseAttributes): Promise<void>;
  /** Makes the lease of `node` unreadable. Its subnets stay. */
  spoil(node: string, subnets: string): Promise<void>;
  /** Removes the lease of `node` as if another program did. */
  remove(node: string, subnets: string): Promise<void>;
}

export interface ContractStore {
  readonly name: string;
  makeSite(netConf: object): Promise<ContractSite>;
  /** How many agents start at one moment. */
  readonly agents: number;
  /** Whether agents choose subnets in this store. Then it refuses a subnet of another length. */
  readonly cutsSubnets: boolean;
}

/** A signal that never aborts, with room for any number of listeners. */
export const never = new AbortController().signal;
setMaxListeners(0, never);
const ipv4 = { Network: '10.244.0.0/16' };
const dual = { ...ipv4, EnableIPv6: true, IPv6Network: 'fd00:10:244::/48' };
const ipv6 = { EnableIPv4: false, EnableIPv6: true, IPv6Network: 'fd00:10:244::/48' };

/** The attributes of a vxlan node at 192.168.0.`host` (and fd00::`host` when `isDual`). */
export function nodeAttributes(host: number, isDual = false): LeaseAttributes {
  const mac = (first: string): string => `${first}:00:00:00:00:${host.toString(16).padStart(2, '0')}`;
  return {
    backendType: 'vxlan',
    publicIp: parseIp(`192.168.0.${host}`),
    backendData: jsonObject({ VNI: 1, VtepMAC: mac('02') }),
    ...(isDual && { publicIpv6: parseIp(`fd00::${host}`), backendV6Data: jsonObject({ VNI: 1, VtepMAC: mac('06') }) }),
  };
}

function onlyIpv6(host: number): LeaseAttributes {
  const { publicIpv6, backendV6Data } = nodeAttributes(host, true);
  return { backendType: 'vxlan', ...(publicIpv6 && { publicIpv6 }), ...(backendV6Data && { backendV6Data }) };
}

function macOf(snapshot: LeaseSnapshot, key: string): string {
  const data = snapshot.leases.get(key)?.backendData;
  const mac = data !== undefined && isJsonObject(data) ? field(data, 'VtepMAC') : undefined;
  return typeof mac === 'string' ? mac : 'none';
}

const families = [
  { name: 'IPv4', netConf: ipv4, attributes: nodeAttributes(1), want: /^10\.244\.\d+\.0\/24$/ },
  { name: 'IPv6', netConf: ipv6, attributes: onlyIpv6(1), want: /^fd00:10:244:[0-9a-f]+::\/64$/ },
  {
    name: 'dual-stack',
    netConf: dual,
    attributes: nodeAttributes(1, true),
    want: /^10\.244\.\d+\.0\/24 fd00:10:244:[0-9a-f]+::\/64$/,
  },
];

export function describeContract(store: ContractStore): void {
  describe(store.name, { timeout: 30_000 }, () => {
    describe('networkConfig', () => describeConfiguration(store));
    describe('acquire', () => describeAcquire(store));
    describe('watch', () => {
      describeSnapshots(store);
      describeStrangers(store);
      describeOwnLease(store);
    });
    describe('leases that claim the same', () => describePrecedence(store));
  });
}

function describeConfiguration({ makeSite }: ContractStore): void {
  test('is the one of the cluster', async () => {
    const config = await (await (await makeSite(ipv4)).manager('a')).networkConfig(never);
    expect(config.network && formatPrefix(config.network)).toBe('10.244.0.0/16');
  });

  test('names the key that is wrong', async () => {
    const manager = await (await makeSite({ Network: 'x' })).manager('a');
    await expect(manager.networkConfig(never)).rejects.toThrow(/net-conf: Network: .*"x"/);
  });
}

function describeAcquire({ makeSite, agents }: ContractStore): void {
  test.for(families)('gives a subnet of the network ($name), and the same one after a restart', async (family) => {
    const { netConf, attributes, want } = family;
    const site = await makeSite(netConf);
    const lease = await (await site.manager('a')).acquire(attributes, never);
    expect(subnetsOf(lease)).toMatch(want);
    expect(lease).toMatchObject(attributes);
    const again = await (await site.manager('a')).acquire(attributes, never);
    expect(subnetsOf(again)).toBe(subnetsOf(lease));
  });

  test('gives every agent another subnet, however many come at once', async () => {
    const site = await makeSite(dual);
    const nodes = Array.from({ length: agents }, (_, at) => at + 1);
    const managers = await Promise.all(nodes.map((host) => site.manager(`n${host}`)));
    const leases = await Promise.all(
      managers.map((manager, at) => manager.acquire(nodeAttributes(at + 1, true), never)),
    );
    const prefixes = leases.flatMap(({ subnet, ipv6Subnet }) => [subnet, ipv6Subnet]).filter((p) => p !== undefined);
    expect(prefixes).toHaveLength(2 * agents);
    const pairs = prefixes.flatMap((a, at) => prefixes.slice(at + 1).map((b) => [a, b] as const));
    expect(pairs.filter(([a, b]) => overlaps(a, b))).toEqual([]);
    const network = parsePrefix('10.244.0.0/16');
    expect(leases.every(({ subnet }) => subnet && containsPrefix(network, subnet))).toBe(true);
  });

  test('ends when it is interrupted', async () => {
    const manager = await (await makeSite(ipv4)).manager('a');
    await expect(manager.acquire(nodeAttributes(1), AbortSignal.abort())).rejects.toThrow();
  });
}

function describeSnapshots({ makeSite }: ContractStore): void {
  test('reports first of all everything that is there, the own lease included', async () => {
    const site = await makeSite(dual);
    await site.putPeer('p', '10.244.77.0/24 fd00:10:244:77::/64', nodeAttributes(77, true));
    const manager = await site.manager('a');
    const own = subnetsOf(await manager.acquire(nodeAttributes(1, true), never));
    const { snapshots, until } = follow(manager);
    await until(() => true);
    const [first] = snapshots;
    const [ownKey, peerKey] = [site.keyOf('a', own), site.keyOf('p', '10.244.77.0/24 fd00:10:244:77::/64')];
    expect([...(first?.leases.keys() ?? [])].sort()).toEqual([ownKey, peerKey].sort());
    expect(first?.leases.get(peerKey)).toEqual({
      ...nodeAttributes(77, true),
      created: expect.stringMatching(/^[0-9]/),
      subnet: parsePrefix('10.244.77.0/24'),
      ipv6Subnet: parsePrefix('fd00:10:244:77::/64'),
    });
    expect(first?.problems).toEqual([]);
  });

  test('reports the whole after every change: leases that come, change and go', async () => {
    const site = await makeSite(ipv4);
    const { until } = follow(await site.manager('watcher'));
    await until(({ leases }) => leases.size === 0);
    const [p, q] = [site.keyOf('p', '10.244.7.0/24'), site.keyOf('q', '10.244.8.0/24')];
    await site.putPeer('p', '10.244.7.0/24', nodeAttributes(7));
    await until(({ leases }) => [...leases.keys()].join() === p);
    await site.putPeer('q', '10.244.8.0/24', nodeAttributes(8));
    await until(({ leases }) => leases.has(p) && leases.has(q));
    await site.putPeer('p', '10.244.7.0/24', nodeAttributes(9));
    const changed = await until((snapshot) => macOf(snapshot, p) === '02:00:00:00:00:09');
    expect(publicIpOf(changed.leases.get(p))).toBe('192.168.0.9');
    expect(changed.leases.has(q)).toBe(true);
    await site.remove('p', '10.244.7.0/24');
    await until(({ leases }) => [...leases.keys()].join() === q);
  });

  test('D8: a dual-stack lease of which one family changed is a change', async () => {
    const site = await makeSite(dual);
    const subnets = '10.244.7.0/24 fd00:10:244:7::/64';
    const key = site.keyOf('p', subnets);
    const before = nodeAttributes(7, true);
    await site.putPeer('p', subnets, before);
    const { until } = follow(await site.manager('watcher'));
    await until(({ leases }) => leases.has(key));
    const { publicIp } = nodeAttributes(99);
    await site.putPeer('p', subnets, { ...before, ...(publicIp && { publicIp }) });
    const after = await until(({ leases }) => publicIpOf(leases.get(key)) === '192.168.0.99');
    expect(after.leases.get(key)).toMatchObject({ publicIpv6: before.publicIpv6 });
  });
}

function describeStrangers({ makeSite }: ContractStore): void {
  test('reports a lease that cannot be read as a problem, and it delays nobody', async () => {
    const site = await makeSite(ipv4);
    await site.putPeer('bad', '10.244.7.0/24', nodeAttributes(7));
    await site.spoil('bad', '10.244.7.0/24');
    await site.putPeer('good', '10.244.8.0/24', nodeAttributes(8));
    const { until } = follow(await site.manager('watcher'));
    const [bad, good] = [site.keyOf('bad', '10.244.7.0/24'), site.keyOf('good', '10.244.8.0/24')];
    const { problems } = await until(({ leases }) => [...leases.keys()].join() === good);
    expect(problems).toEqual([{ key: bad, reason: expect.stringMatching(/\S/) }]);
    await site.putPeer('bad', '10.244.7.0/24', nodeAttributes(7));
    const mended = await until(({ leases }) => leases.has(bad));
    expect(mended.problems).toEqual([]);
  });

  test('shows what another agent acquires and changes', async () => {
    const site = await makeSite(ipv4);
    const { until } = follow(await site.manager('watcher'));
    const manager = await site.manager('a');
    const key = site.keyOf('a', subnetsOf(await manager.acquire(nodeAttributes(1), never)));
    await until(({ leases }) => publicIpOf(leases.get(key)) === '192.168.0.1');
    await manager.acquire(nodeAttributes(2), never);
    await until(({ leases }) => publicIpOf(leases.get(key)) === '192.168.0.2');
  });

  test('ends quietly when it is told to', async () => {
    const { until, stop, ended } = follow(await (await makeSite(ipv4)).manager('a'));
    await until(() => true);
    await stop();
    await expect(ended).resolves.toBeUndefined();
  });
}

/** An API server counts whole seconds, and a file system counts clock ticks. */
const later = (): Promise<void> => sleep(1100);

function describePrecedence({ makeSite, cutsSubnets }: ContractStore): void {
  /** The keys of a snapshot, the oldest lease first. */
  const inOrder = ({ leases }: LeaseSnapshot): string[] => inOrderOfCreation(leases).map(({ key }) => key);

  test('every reader sees who was there first, also after he changed what he advertises', async () => {
    const site = await makeSite(ipv4);
    const manager = await site.manager('z');
    const key = site.keyOf('z', subnetsOf(await manager.acquire(nodeAttributes(1), never)));
    await later();
    await site.putPeer('a', '10.244.77.0/24', nodeAttributes(77));
    await manager.acquire(nodeAttributes(2), never);
    const want = [key, site.keyOf('a', '10.244.77.0/24')];
    for (const reader of ['reader', 'z']) {
      const { until } = follow(reader === 'z' ? manager : await site.manager(reader));
      const snapshot = await until(({ leases }) => leases.size === 2 && publicIpOf(leases.get(key)) === '192.168.0.2');
      expect(inOrder(snapshot)).toEqual(want);
    }
  });

  test('a lease that comes later and claims our subnet takes it neither now nor at the next start', async () => {
    const site = await makeSite(ipv4);
    const manager = await site.manager('z');
    const own = subnetsOf(await manager.acquire(nodeAttributes(1), never));
    const key = site.keyOf('z', own);
    const running = follow(manager);
    await running.until(({ leases }) => leases.has(key));
    await later();
    // In etcd the subnets are the key, so that adding a subnet of the other family makes another key.
    const claim = `${own} fd00:1::/64`;
    await site.putPeer('a', claim, nodeAttributes(77));
    const snapshot = await running.until(({ leases }) => leases.size === 2);
    expect(inOrder(snapshot)).toEqual([key, site.keyOf('a', claim)]);
    await running.stop();
    await expect(running.ended).resolves.toBeUndefined();
    expect(subnetsOf(await (await site.manager('z')).acquire(nodeAttributes(1), never))).toBe(own);
  });

  if (!cutsSubnets) return;
  test('a lease of another length than SubnetLen is refused', async () => {
    const site = await makeSite({ ...ipv4, SubnetLen: 25 });
    await site.putPeer('narrow', '10.244.7.0/31', nodeAttributes(7));
    await site.putPeer('wide', '10.244.0.0/17', nodeAttributes(8));
    await site.putPeer('good', '10.244.7.0/25', nodeAttributes(9));
    const manager = await site.manager('watcher');
    await manager.networkConfig(never);
    const { leases, problems } = await follow(manager).until(() => true);
    expect([...leases.keys()]).toEqual([site.keyOf('good', '10.244.7.0/25')]);
    const reasons = new Map(problems.map(({ key, reason }) => [key, reason]));
    for (const [node, subnet] of [['narrow', '10.244.7.0/31'] as const, ['wide', '10.244.0.0/17'] as const]) {
      const want = `subnet ${subnet} has another length than SubnetLen, expected /25`;
      expect(reasons.get(site.keyOf(node, subnet))).toBe(want);
    }
  });
}

function describeOwnLease({ makeSite }: ContractStore): void {
  test.for([
    { name: 'removed', harm: 'remove' as const },
    { name: 'made unreadable', harm: 'spoil' as const },
  ])('puts the own lease back when it is $name', async ({ harm }) => {
    const site = await makeSite(ipv4);
    const manager = await site.manager('a');
    const own = subnetsOf(await manager.acquire(nodeAttributes(1), never));
    const key = site.keyOf('a', own);
    const mine = follow(manager);
    const theirs = follow(await site.manager('watcher'));
    await Promise.all([mine, theirs].map(({ until }) => until(({ leases }) => leases.has(key))));
    for (let round = 0; round < 2; round++) {
      const seen = theirs.snapshots.length;
      await site[harm]('a', own);
      await theirs.until(({ leases }) => theirs.snapshots.length > seen && leases.has(key));
    }
    await mine.until(({ leases }) => subnetsOf(leases.get(key)) === own);
  });
}
