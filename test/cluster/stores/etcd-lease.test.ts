import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { claimSubnets } from '../../../flanneld/subnet/etcd/claim.ts';
import type { EtcdManagerOptions } from '../../../flanneld/subnet/etcd/etcd.ts';
import { putOperation } from '../../../flanneld/subnet/etcd/etcd-json.ts';
import { EtcdGateway } from '../../../flanneld/subnet/etcd/gateway.ts';
import { parsePrefix } from '../../../lib/ip.ts';
import { parseNetConf } from '../../../lib/net-conf.ts';
import type { EtcdCluster } from '../../support/etcd.ts';
import { startEtcd } from '../../support/etcd.ts';
import { follow, publicIpOf, subnetsOf } from '../../support/follow.ts';
import { recordingLog } from '../../support/recording-log.ts';
import { never, nodeAttributes } from '../../support/store-contract.ts';
import { type EtcdSite, makeEtcdSite } from './etcd-site.ts';

let cluster: EtcdCluster;
beforeAll(async () => {
  cluster = await startEtcd({ members: 1 });
});
afterAll(async () => await cluster?.stop());

/** A lease that flannel wrote in a real cluster. */
const flannelValue =
  '{"PublicIP":"192.168.0.1","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"c6:d2:32:6f:8f:44"}}';
/** Four subnets, of which flannel leaves out the first. */
const three = { Network: '10.5.0.0/22' };

async function acquire(site: EtcdSite, host = 1, change?: Partial<EtcdManagerOptions>): Promise<string> {
  return subnetsOf(await site.manager(change).acquire(nodeAttributes(host), never));
}

describe('compatible with flannel', () => {
  test('the value is the same as flannel’s, byte for byte, and has an etcd lease of a day', async () => {
    const site = await makeEtcdSite(cluster, three);
    const previous = { subnet: parsePrefix('10.5.2.0/24') };
    await acquire(site, 1, { previous });
    const stored = (await site.stored()).get('10.5.2.0-24');
    expect(stored?.value).toBe(flannelValue.replace('c6:d2:32:6f:8f:44', '02:00:00:00:00:01'));
    expect(await site.gateway.keepLeaseAlive(stored?.leaseId ?? '', never)).toBe(86_400);
  });

  test('takes the lease that flannel left for this address, with its etcd lease', async () => {
    const site = await makeEtcdSite(cluster, three);
    const leaseId = await site.gateway.grantLease(86_400, never);
    await site.put('/subnets/10.5.3.0-24', flannelValue, leaseId);
    expect(await acquire(site)).toBe('10.5.3.0/24');
    const stored = await site.stored();
    expect([...stored.keys()]).toEqual(['10.5.3.0-24']);
    expect(stored.get('10.5.3.0-24')).toEqual({ leaseId, value: expect.stringContaining('02:00:00:00:00:01') });
  });

  test('D12: an IPv6-only lease has flannel’s form, and two nodes get two leases', async () => {
    const site = await makeEtcdSite(cluster, { EnableIPv4: false, EnableIPv6: true, IPv6Network: 'fd00:10:244::/48' });
    for (const host of [1, 2]) {
      const { publicIp: _, backendData: __, ...ipv6 } = nodeAttributes(host, true);
      await site.manager().acquire(ipv6, never);
    }
    const stored = [...(await site.stored())];
    expect(stored).toHaveLength(2);
    for (const [key, { value }] of stored) {
      expect(key).toMatch(/^0\.0\.0\.0-0&fd00:10:244:[0-9a-f]+::-64$/);
      expect(value).toMatch(
        /^\{"PublicIP":"0\.0\.0\.0","PublicIPv6":"fd00::[12]","BackendType":"vxlan","BackendV6Data"/,
      );
    }
  });
});

describe('which subnet a node gets', () => {
  test('the subnet of an earlier run, when it is free and fits', async () => {
    const site = await makeEtcdSite(cluster, three);
    const previous = { subnet: parsePrefix('10.5.3.0/24') };
    expect(await acquire(site, 1, { previous })).toBe('10.5.3.0/24');
    expect(await acquire(site, 2, { previous })).not.toBe('10.5.3.0/24');
    const outside = { subnet: parsePrefix('10.9.3.0/24') };
    expect(await acquire(site, 3, { previous: outside })).toMatch(/^10\.5\./);
  });

  test('its own subnet after its address has changed', async () => {
    const site = await makeEtcdSite(cluster, three);
    const earlier = await site.manager().acquire(nodeAttributes(1), never);
    expect(await acquire(site, 9, { earlier })).toBe(subnetsOf(earlier));
    expect((await site.stored()).size).toBe(1);
  });

  test('another when its own no longer fits the configuration; the old key is removed', async () => {
    const site = await makeEtcdSite(cluster, three);
    await acquire(site);
    await site.put('/config', '{"Network":"10.6.0.0/22"}');
    expect(await acquire(site)).toMatch(/^10\.6\./);
    expect([...(await site.stored()).keys()].join()).toMatch(/^10\.6\.[123]\.0-24$/);
  });

  test('none when all are taken, including by a key with an unreadable value', async () => {
    const site = await makeEtcdSite(cluster, three);
    await acquire(site, 1);
    await acquire(site, 2);
    const free = [1, 2, 3].map((at) => `10.5.${at}.0-24`);
    const taken = await site.stored();
    await site.put(`/subnets/${free.find((key) => !taken.has(key))}`, 'garbage');
    await expect(acquire(site, 3)).rejects.toThrow('etcd: acquire a subnet: no subnet is free (10.5.0.0/22)');
  });

  test('D11: when there are as many agents as subnets, each agent gets one', async () => {
    const site = await makeEtcdSite(cluster, { Network: '10.5.0.0/20' });
    const hosts = Array.from({ length: 15 }, (_, at) => at + 1);
    const subnets = await Promise.all(hosts.map((host) => acquire(site, host)));
    expect(new Set(subnets).size).toBe(15);
  });

  test('not one that overlaps an older lease under another key', async () => {
    const site = await makeEtcdSite(cluster, three);
    const rival = '/subnets/10.5.2.0-24&fd00:1::-64';
    class Overtaken extends EtcdGateway {
      override async transact(...args: Parameters<EtcdGateway['transact']>): Promise<bigint | undefined> {
        if (!(await site.stored()).has(rival.slice('/subnets/'.length))) await site.put(rival, flannelValue);
        return await super.transact(...args);
      }
    }
    const tls = { caFile: undefined, certFile: undefined, keyFile: undefined };
    const gateway = new Overtaken({ endpoints: cluster.endpoints, tls, user: undefined, timeoutMs: 3000 });
    const { config } = parseNetConf(JSON.stringify(three));
    const previous = { subnet: parsePrefix('10.5.2.0/24') };
    const rest = { ttlSec: 60, random: Math.random, log: recordingLog().log, earlier: undefined };
    const context = { gateway, prefix: `${site.prefix}/subnets/`, config, previous, ...rest };
    const { lease } = await claimSubnets(context, nodeAttributes(5), never);
    expect(subnetsOf(lease)).toMatch(/^10\.5\.[13]\.0\/24$/);
    expect((await site.stored()).size).toBe(2);
  });
});

describe('D15: a reservation, a key that no lease ends', () => {
  test('stays a reservation when its node takes it', async () => {
    const site = await makeEtcdSite(cluster, three);
    await site.put('/subnets/10.5.3.0-24', flannelValue);
    const manager = site.manager();
    expect(subnetsOf(await manager.acquire(nodeAttributes(1), never))).toBe('10.5.3.0/24');
    await manager.release?.(never);
    expect((await site.stored()).get('10.5.3.0-24')).toEqual({
      leaseId: '0',
      value: expect.stringContaining('02:00:00:00:00:01'),
    });
  });

  test('is left alone, and no node takes it, when it does not fit', async () => {
    const site = await makeEtcdSite(cluster, three);
    await site.put('/subnets/10.5.2.0-25', flannelValue);
    expect(await acquire(site)).toMatch(/^10\.5\.[13]\.0\/24$/);
    expect((await site.stored()).get('10.5.2.0-25')).toEqual({ leaseId: '0', value: flannelValue });
    expect(site.logged.join()).toContain('reservation does not fit the configuration');
  });
});

describe('a lease in use', () => {
  test('is kept alive beyond its time until it is released', async () => {
    const site = await makeEtcdSite(cluster, three);
    const manager = site.manager({ ttlSec: 2 });
    await manager.acquire(nodeAttributes(1), never);
    const before = await site.stored();
    follow(manager);
    await new Promise((resolve) => setTimeout(resolve, 5000));
    expect(await site.stored()).toEqual(before);
    await manager.release?.(never);
    expect((await site.stored()).size).toBe(0);
  });

  test('comes back under the same key when it is revoked', async () => {
    const site = await makeEtcdSite(cluster, three);
    const manager = site.manager();
    const own = subnetsOf(await manager.acquire(nodeAttributes(1), never));
    const key = site.keyOf('', own);
    const { until, snapshots } = follow(manager);
    await until(({ leases }) => leases.has(key));
    const before = (await site.stored()).get(key)?.leaseId ?? '';
    const seen = snapshots.length;
    await site.gateway.revokeLease(before, never);
    await until(({ leases }) => snapshots.length > seen && leases.has(key));
    expect((await site.stored()).get(key)?.leaseId).not.toBe(before);
    expect(site.logged.join('\n')).toMatch(/own lease restored.*it was revoked/);
  });

  test('is put back when another program overwrites it', async () => {
    const site = await makeEtcdSite(cluster, three);
    const manager = site.manager();
    const own = subnetsOf(await manager.acquire(nodeAttributes(1), never));
    const key = site.keyOf('', own);
    const { until } = follow(manager);
    await until(({ leases }) => leases.has(key));
    const before = (await site.stored()).get(key)?.value;
    await site.putPeer('other', own, nodeAttributes(2));
    await until(({ leases }) => publicIpOf(leases.get(key)) === '192.168.0.2');
    await until(({ leases }) => publicIpOf(leases.get(key)) === '192.168.0.1');
    expect((await site.stored()).get(key)?.value).toBe(before);
  });

  test('keeps its subnet at the next start, although later keys lie inside and around it', async () => {
    const site = await makeEtcdSite(cluster, three);
    const own = await acquire(site);
    const before = await site.stored();
    await site.putPeer('inside', own.replace('/24', '/31'), nodeAttributes(2));
    await site.putPeer('around', '10.5.0.0/22', nodeAttributes(3));
    expect(await acquire(site)).toBe(own);
    expect(before.size).toBe(1);
    for (const [key, value] of before) expect((await site.stored()).get(key)).toEqual(value);
    // Control: another node can get a subnet as well.
    expect(await acquire(site, 4)).toMatch(/^10\.5\.[123]\.0\/24$/);
  });

  test('ends the watch with an error when another node has taken it', async () => {
    const site = await makeEtcdSite(cluster, three);
    const manager = site.manager();
    const own = subnetsOf(await manager.acquire(nodeAttributes(1), never));
    await site.remove('', own);
    await site.putPeer('other', own, nodeAttributes(2));
    const { ended } = follow(manager);
    await expect(ended).rejects.toThrow(
      /^etcd: keep lease 10\.5\.[123]\.0\/24: lost \(the subnet is now leased to another node/,
    );
  });

  test('is not written again by a restart that changes nothing', async () => {
    const site = await makeEtcdSite(cluster, three);
    await acquire(site);
    const { kvs } = await site.gateway.list(`${site.prefix}/`, never);
    await acquire(site);
    expect((await site.gateway.list(`${site.prefix}/`, never)).kvs).toEqual(kvs);
  });
});

describe('the listing', () => {
  test('is read in pages of one revision', async () => {
    const site = await makeEtcdSite(cluster, { Network: '10.0.0.0/8' });
    const names = Array.from({ length: 2300 }, (_, at) => `10.${at >> 8}.${at & 255}.0-24`);
    for (let at = 0; at < names.length; at += 100) {
      const puts = names
        .slice(at, at + 100)
        .map((name) => putOperation(`${site.prefix}/subnets/${name}`, flannelValue, '0'));
      await site.gateway.transact('', [], puts, never);
    }
    const { until } = follow(site.manager());
    const { leases } = await until(() => true);
    expect([...leases.keys()].sort()).toEqual(names.sort());
  });
});
