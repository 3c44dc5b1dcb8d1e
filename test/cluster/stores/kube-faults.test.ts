// The Kubernetes store when a real kube-apiserver dies, comes back, or cannot be reached.

import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { follow, publicIpOf } from '../../support/follow.ts';
import type { KubeApiserver } from '../../support/kube-apiserver.ts';
import { apiserverNeeded, hasKubeApiserver, startKubeApiserver } from '../../support/kube-apiserver.ts';
import { makeKubeSite } from '../../support/kube-site.ts';
import { needs } from '../../support/needs.ts';
import { startProxy } from '../../support/proxy.ts';
import { never, nodeAttributes } from '../../support/store-contract.ts';

describe('a real kube-apiserver', { timeout: 180_000 }, () => {
  let server: KubeApiserver | undefined;
  beforeAll(async () => {
    if (hasKubeApiserver()) server = await startKubeApiserver();
  }, 180_000);
  afterAll(async () => await server?.stop());
  beforeEach(() => needs.machine(hasKubeApiserver(), apiserverNeeded));

  /** An agent with a lease that reaches the server through a proxy, and a peer. */
  async function makeScene() {
    if (server === undefined) throw new Error('kube-apiserver did not start');
    const { agent: direct, admin, url } = server;
    const proxy = await startProxy(url);
    onTestFinished(async () => await proxy.close());
    const agentAccess = { prepare: async () => ({ ...(await direct.prepare()), server: proxy.url }) };
    const site = makeKubeSite(admin, { Network: '10.244.0.0/16' }, { agentAccess });
    const put = (node: string, host: number): Promise<void> =>
      site.putPeer(node, `10.244.${host}.0/24`, nodeAttributes(host));
    await put('p', 100);
    await put('q', 101);
    const manager = await site.manager('a');
    await manager.acquire(nodeAttributes(1), never);
    const follower = follow(manager);
    const [ownKey, p, q] = ['a', 'p', 'q'].map(site.nodeName);
    await follower.until(({ leases }) => leases.size === 3);
    const seeP = (host: number) =>
      follower.until(({ leases }) => publicIpOf(leases.get(p ?? '')) === `192.168.0.${host}`);
    return { server, proxy, site, put, manager, seeP, ownKey, p, q, ...follower };
  }

  test('is killed and comes back: the last known leases stay, then the agent follows again', async () => {
    const scene = await makeScene();
    await scene.server.kill();
    await expect.poll(() => scene.site.logged.join('\n'), { timeout: 20_000 }).toContain('nodes cannot be watched');
    await scene.server.start();
    await scene.put('p', 8);
    await scene.seeP(8);
    expect(scene.snapshots.filter(({ leases }) => leases.size < 3)).toEqual([]);
  });

  test('has forgotten the watched version (410): nodes that left meanwhile are gone', async () => {
    const scene = await makeScene();
    scene.proxy.cut();
    await scene.site.deleteNode('q');
    await scene.put('p', 8);
    // The server keeps its history of changes in memory, so a new process knows only the present state.
    await scene.server.kill();
    await scene.server.start();
    scene.proxy.heal();
    const { leases } = await scene.seeP(8);
    expect([...leases.keys()].sort()).toEqual([scene.ownKey, scene.p].sort());
    expect(scene.site.logged.join('\n')).toMatch(/will list them again .*410 Expired/);
  });

  test('cannot be reached for a while: annotations that were removed meanwhile are put back', async () => {
    const scene = await makeScene();
    scene.proxy.cut();
    await scene.site.remove('a', '');
    await scene.put('p', 8);
    scene.proxy.heal();
    await scene.seeP(8);
    await expect
      .poll(async () => (await scene.site.annotations('a'))['public-ip'], { timeout: 20_000 })
      .toBe('192.168.0.1');
  });

  test('allows the condition and the Events with the agent’s rights', async () => {
    const scene = await makeScene();
    scene.manager.announceReady?.();
    const conditions = async (): Promise<string> => JSON.stringify(await scene.site.get('a'));
    await expect.poll(conditions, { timeout: 20_000 }).toContain('"reason":"FlannelIsUp"');
    await scene.site.createNode('late', []);
    const late = scene.site.nodeName('late');
    const acquiring = (await scene.site.manager('late')).acquire(nodeAttributes(50), never);
    const path = `/api/v1/namespaces/default/events?fieldSelector=involvedObject.name=${late}`;
    const events = async (): Promise<string> => JSON.stringify((await scene.server.call({ path })).body);
    await expect.poll(events, { timeout: 20_000 }).toContain('pod cidr not assigned');
    const spec = { podCIDR: '10.244.50.0/24', podCIDRs: ['10.244.50.0/24'] };
    const contentType = 'application/merge-patch+json';
    await scene.server.must({ method: 'PATCH', path: `/api/v1/nodes/${late}`, body: { spec }, contentType });
    await expect(acquiring).resolves.toMatchObject({ backendType: 'vxlan' });
    expect(scene.site.logged.join('\n')).not.toContain('403');
  });
});
