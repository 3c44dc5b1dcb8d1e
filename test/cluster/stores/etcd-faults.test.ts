import { describe, expect, onTestFinished, test } from 'vitest';
import type { EtcdManagerOptions } from '../../../flanneld/subnet/etcd/etcd.ts';
import { parsePrefix } from '../../../lib/ip.ts';
import type { EtcdCluster, EtcdSpec } from '../../support/etcd.ts';
import { startEtcd } from '../../support/etcd.ts';
import { follow, publicIpOf, subnetsOf } from '../../support/follow.ts';
import { startProxy, type TcpProxy } from '../../support/proxy.ts';
import { never, nodeAttributes } from '../../support/store-contract.ts';
import { askEtcd, type EtcdSite, keyOf, leaderOf, makeEtcdSite } from './etcd-site.ts';

const netConf = { Network: '10.5.0.0/16' };
const peer = '10.5.200.0/24';
const peerKey = keyOf(peer);

async function start(spec: EtcdSpec): Promise<EtcdCluster> {
  const cluster = await startEtcd(spec);
  onTestFinished(async () => await cluster.stop());
  return cluster;
}

/** An agent that has a lease and watches the store, in which there is a peer. */
async function agentAt(site: EtcdSite, change: Partial<EtcdManagerOptions> = {}) {
  await site.putPeer('p', peer, nodeAttributes(7));
  const manager = site.manager(change);
  const own = subnetsOf(await manager.acquire(nodeAttributes(1), never));
  const ownKey = keyOf(own);
  const following = follow(manager);
  await following.until(({ leases }) => leases.has(ownKey) && leases.has(peerKey));
  return { ...following, own, ownKey };
}

/** Moves the peer to another address and expects that the agent notices. */
async function expectToFollow(site: EtcdSite, agent: Awaited<ReturnType<typeof agentAt>>, host: number): Promise<void> {
  await site.putPeer('p', peer, nodeAttributes(host));
  await agent.until(({ leases }) => publicIpOf(leases.get(peerKey)) === `192.168.0.${host}`);
}

describe('three members with TLS', { timeout: 120_000 }, () => {
  test('when the leader dies, the agent continues and no peer is reported as gone', async () => {
    const cluster = await start({ members: 3, tls: true });
    const site = await makeEtcdSite(cluster, netConf);
    const agent = await agentAt(site);
    const leader = await leaderOf(cluster);
    await leader.kill();
    await expectToFollow(site, agent, 8);
    await leader.start();
    await expectToFollow(site, agent, 9);
    expect(agent.snapshots.filter(({ leases }) => !leases.has(peerKey))).toEqual([]);
  });

  test('when the majority is lost, the last known leases stay; when it is back, the agent follows again', async () => {
    const cluster = await start({ members: 3, tls: true });
    const site = await makeEtcdSite(cluster, netConf);
    const agent = await agentAt(site);
    const [, second, third] = cluster.members;
    await Promise.all([second?.kill(), third?.kill()]);
    await expect(site.putPeer('p', peer, nodeAttributes(8))).rejects.toThrow(/^etcd: /);
    await Promise.all([second?.start(), third?.start()]);
    await expectToFollow(site, agent, 9);
    expect(agent.snapshots.filter(({ leases }) => leases.size < 2)).toEqual([]);
  });

  test('a certificate of another authority is refused with a clear error', async () => {
    const cluster = await start({ members: 3, tls: true });
    const site = await makeEtcdSite(cluster, netConf);
    const abort = new AbortController();
    const noCa = { caFile: undefined, certFile: cluster.tls.certFile, keyFile: cluster.tls.keyFile };
    const waiting = site.manager({ tls: noCa }).networkConfig(abort.signal);
    await expect.poll(() => site.logged.join('\n')).toMatch(/SELF_SIGNED_CERT|UNABLE_TO_(GET|VERIFY)/);
    abort.abort();
    await expect(waiting).rejects.toThrow();
  });
});

describe('one member', { timeout: 120_000 }, () => {
  async function behindProxy(): Promise<{ cluster: EtcdCluster; proxy: TcpProxy; site: EtcdSite; endpoints: URL[] }> {
    const cluster = await start({ members: 1 });
    const [url] = cluster.endpoints;
    if (url === undefined) throw new Error('no endpoint');
    const proxy = await startProxy(url);
    onTestFinished(async () => await proxy.close());
    return { cluster, proxy, site: await makeEtcdSite(cluster, netConf), endpoints: [proxy.url] };
  }

  test('what was missed and then compacted away is read anew: peers that left meanwhile are gone', async () => {
    const { cluster, proxy, site, endpoints } = await behindProxy();
    const agent = await agentAt(site, { endpoints });
    proxy.cut();
    await site.remove('p', peer);
    await site.putPeer('q', '10.5.201.0/24', nodeAttributes(8));
    const { revision } = await site.gateway.list(`${site.prefix}/`, never);
    await askEtcd(cluster, 'kv/compaction', { revision: String(revision), physical: true });
    proxy.heal();
    const { leases } = await agent.until((snapshot) => snapshot.leases.has('10.5.201.0-24'));
    expect([...leases.keys()].sort()).toEqual(['10.5.201.0-24', agent.ownKey].sort());
    expect(site.logged.join('\n')).toContain('etcd was compacted, will read all leases again');
  });

  test('after a partition longer than the lease, the agent takes the same subnet again', async () => {
    const { proxy, site, endpoints } = await behindProxy();
    const agent = await agentAt(site, { endpoints, ttlSec: 2, timeoutMs: 500 });
    proxy.cut();
    await expect.poll(async () => (await site.stored()).has(agent.ownKey), { timeout: 20_000 }).toBe(false);
    proxy.heal();
    await expect.poll(async () => (await site.stored()).has(agent.ownKey), { timeout: 20_000 }).toBe(true);
    await expectToFollow(site, agent, 9);
  });

  test('D13: a watch that cannot be opened does not end the renewals: the lease survives its first period', async () => {
    const { proxy, site, endpoints } = await behindProxy();
    const manager = site.manager({ endpoints, ttlSec: 3, timeoutMs: 500 });
    const ownKey = keyOf(subnetsOf(await manager.acquire(nodeAttributes(1), never)));
    proxy.cut();
    const { until } = follow(manager);
    await expect.poll(() => site.logged.join('\n')).toContain('leases cannot be watched');
    proxy.heal();
    await until(({ leases }) => leases.has(ownKey));
    const { leaseId } = (await site.stored()).get(ownKey) ?? {};
    await new Promise((resolve) => setTimeout(resolve, 5000));
    expect((await site.stored()).get(ownKey)?.leaseId).toBe(leaseId);
  });

  test('when another node takes the subnet during a partition, the watch ends with an error', async () => {
    const { proxy, site, endpoints } = await behindProxy();
    const agent = await agentAt(site, { endpoints, ttlSec: 2, timeoutMs: 500 });
    proxy.cut();
    await expect.poll(async () => (await site.stored()).has(agent.ownKey), { timeout: 20_000 }).toBe(false);
    await site.putPeer('thief', agent.own, nodeAttributes(66));
    proxy.heal();
    await expect(agent.ended).rejects.toThrow('lost');
  });

  test('a watch that is interrupted again and again misses nothing', async () => {
    const { proxy, site, endpoints } = await behindProxy();
    const agent = await agentAt(site, { endpoints });
    for (let host = 20; host < 30; host++) {
      proxy.reset();
      await expectToFollow(site, agent, host);
    }
  });

  test('D14: an agent that starts before etcd waits for it, and for its configuration', async () => {
    const cluster = await start({ members: 1 });
    const [member] = cluster.members;
    const site = await makeEtcdSite(cluster, netConf);
    await member?.kill();
    const manager = site.manager();
    const config = manager.networkConfig(never);
    const agent = follow(manager);
    await expect.poll(() => site.logged.join('\n')).toMatch(/no network configuration yet.*ECONNREFUSED/);
    await member?.start();
    expect((await config).network).toEqual(parsePrefix(netConf.Network));
    await agent.until(({ leases }) => leases.size === 0);
    await site.putPeer('p', peer, nodeAttributes(7));
    await agent.until(({ leases }) => leases.has(peerKey));
  });

  test('the agent waits for a missing configuration and says so in the words that people search for', async () => {
    const cluster = await start({ members: 1 });
    const site = await makeEtcdSite(cluster, netConf);
    const prefix = `${site.prefix}/other`;
    const config = site.manager({ prefix }).networkConfig(never);
    await expect.poll(() => site.logged.join('\n')).toContain('flannel config not found in etcd store');
    await site.put('/other/config', '{"Network":"10.6.0.0/16"}');
    await expect(config).resolves.toMatchObject({ enableIpv4: true });
  });

  test('it logs in by user and password, gets a new token when the server has forgotten it, and reports a wrong password', async () => {
    const cluster = await start({ members: 1 });
    const [member] = cluster.members;
    const open = await makeEtcdSite(cluster, netConf);
    await askEtcd(cluster, 'auth/user/add', { name: 'root', password: 'secret' });
    await askEtcd(cluster, 'auth/role/add', { name: 'root' });
    await askEtcd(cluster, 'auth/user/grant', { user: 'root', role: 'root' });
    await askEtcd(cluster, 'auth/enable');
    const abort = new AbortController();
    const wrong = { name: 'root', password: 'guess' };
    const refused = open.manager({ user: wrong }).networkConfig(abort.signal);
    await expect.poll(() => open.logged.join('\n')).toMatch(/etcd: log in root: .*authentication failed/);
    expect(open.logged.join('\n')).not.toContain('guess');
    abort.abort();
    await expect(refused).rejects.toThrow();

    const user = { name: 'root', password: 'secret' };
    const site = await makeEtcdSite(cluster, netConf, user);
    const agent = await agentAt(site, { user });
    await member?.kill();
    await member?.start(); // simple tokens are in memory
    await expectToFollow(site, agent, 9);
  });
});
