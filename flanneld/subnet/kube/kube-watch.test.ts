// The watch of the Kubernetes store in every kind of trouble that a real API server does not cause on demand.

import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { formatIp } from '../../../lib/ip.ts';
import { FakeKube, type FakeNode, fail, watchLine } from '../../../test/support/fake-kube.ts';
import { type Follower, follow, publicIpOf } from '../../../test/support/follow.ts';
import { type KubeSite, makeKubeSite } from '../../../test/support/kube-site.ts';
import { never, nodeAttributes } from '../../../test/support/store-contract.ts';
import type { LeaseSnapshot } from '../manager.ts';
import type { KubeManagerOptions } from './kube.ts';

vi.setConfig({ testTimeout: 30_000 });

interface Scene {
  readonly server: FakeKube;
  readonly site: KubeSite;
  readonly watcher: Follower;
  /** Adds a peer with the public IP 192.168.0.<host>, or gives it this address. */
  put(node: string, host: number): Promise<void>;
  /** Waits until the watcher sees exactly these peers, such as `p=192.168.0.7`. */
  see(...want: string[]): Promise<void>;
  node(name: string): FakeNode;
}

async function makeScene(change: Partial<KubeManagerOptions> = {}): Promise<Scene> {
  const server = await new FakeKube().start();
  onTestFinished(async () => await server.stop());
  const site = makeKubeSite(server.access, { Network: '10.244.0.0/16' });
  const manager = await site.manager('watcher', { watchIdleMs: 20_000, ...change });
  const watcher = follow(manager);
  await watcher.until(() => true);
  await expect.poll(() => server.watchers).toBe(1);
  return {
    server,
    site,
    watcher,
    put: (node, host) => site.putPeer(node, `10.244.${host}.0/24`, nodeAttributes(host)),
    async see(...want) {
      await watcher.until(({ leases }) => {
        const seen = [...leases].map(([name, lease]) => `${name.split('-')[0]}=${publicIpOf(lease).split('.')[3]}`);
        return seen.sort().join() === want.sort().join();
      });
    },
    node(name) {
      const node = server.nodes.get(site.nodeName(name));
      if (node === undefined) throw new Error(`no node ${name}`);
      return node;
    },
  };
}

/** The same Node with another address, as an event of version `version` that the server's history does not have. */
function altered({ node, site }: Scene, name: string, host: number, version: string): string {
  const copy = structuredClone(node(name));
  copy.metadata.resourceVersion = version;
  copy.metadata.annotations[`${site.prefix}public-ip`] = `192.168.0.${host}`;
  return watchLine('MODIFIED', copy);
}

describe('the watch is cut', () => {
  test.for([
    { name: 'cleanly', cut: (server: FakeKube) => server.endWatches() },
    { name: 'without a word', cut: (server: FakeKube) => server.cutWatches() },
    {
      name: 'in the middle of a line',
      cut(server: FakeKube) {
        server.sendRaw('{"type":"MODIFIED","object":{"kind":"Node","metadata":{"na');
        server.endWatches();
      },
    },
  ])('$name: what happened meanwhile is seen, and nothing is listed again', async ({ cut }) => {
    const scene = await makeScene();
    await scene.put('p', 7);
    await scene.see('p=7');
    const lists = listsOf(scene.server);
    cut(scene.server);
    await scene.put('p', 8);
    await scene.put('q', 9);
    await scene.see('p=8', 'q=9');
    expect(listsOf(scene.server)).toBe(lists);
  });

  test('by silence: a connection without any data is given up', async () => {
    const { server, put, see } = await makeScene({ watchIdleMs: 300 });
    const before = watchesOf(server);
    await expect.poll(() => watchesOf(server), { timeout: 10_000 }).toBeGreaterThan(before);
    await put('p', 7);
    await see('p=7');
  });

  test('and the server refuses for a while: the last known leases stay', async () => {
    const { server, put, see, watcher } = await makeScene();
    await put('p', 7);
    await see('p=7');
    let refused = 0;
    server.intercept = ({ url }, response) => {
      if (!url.searchParams.has('watch') || refused++ >= 3) return false;
      fail(response, 503, 'ServiceUnavailable', 'the server is starting');
      return true;
    };
    const lists = listsOf(server);
    server.cutWatches();
    await put('p', 8);
    await see('p=8');
    expect(refused).toBeGreaterThan(3);
    expect(listsOf(server)).toBe(lists);
    expect(watcher.snapshots.slice(-2).every(({ leases }) => leases.size === 1)).toBe(true);
  });
});

describe('the first list', () => {
  test('comes from the server’s cache, any later one is the newest state', async () => {
    const { server, put, see } = await makeScene();
    server.compact();
    server.endWatches();
    await put('p', 7);
    await see('p=7');
    const lists = server.requests.filter(({ url }) => url.searchParams.has('limit'));
    expect(lists.map(({ url }) => url.searchParams.get('resourceVersion'))).toEqual(['0', null]);
  });

  test('may be older than the known state of the own Node', async () => {
    const server = await new FakeKube().start();
    onTestFinished(async () => await server.stop());
    const site = makeKubeSite(server.access, { Network: '10.244.0.0/16' });
    const manager = await site.manager('own');
    const items = structuredClone([...server.nodes.values()]);
    await manager.acquire(nodeAttributes(1), never);
    server.intercept = ({ url }, response) => {
      if (url.searchParams.get('resourceVersion') !== '0' || url.searchParams.has('watch')) return false;
      const [{ metadata } = { metadata: undefined }] = items;
      response.end(JSON.stringify({ metadata: { resourceVersion: metadata?.resourceVersion }, items }));
      return true;
    };
    const { leases } = await follow(manager).until(() => true);
    expect(publicIpOf(leases.get(site.nodeName('own')))).toBe('192.168.0.1');
  });
});

describe('what is watched is too old (410)', () => {
  test('in the middle of a watch: everything is listed again, and removed nodes are gone', async () => {
    const { server, site, put, see } = await makeScene();
    await put('p', 7);
    await put('q', 8);
    await see('p=7', 'q=8');
    const version = server.nodes.get(site.nodeName('q'));
    if (version) server.store('MODIFIED', version, false);
    server.nodes.delete(site.nodeName('p')); // the watch reports nothing
    const status = { kind: 'Status', code: 410, reason: 'Expired', message: 'too old resource version' };
    server.sendRaw(`${JSON.stringify({ type: 'ERROR', object: status })}\n`);
    await see('q=8');
  });

  test('when a watch is opened', async () => {
    const { server, site, put, see } = await makeScene();
    await put('p', 7);
    await see('p=7');
    server.nodes.delete(site.nodeName('p'));
    server.compact();
    server.endWatches();
    await see();
    await put('q', 8);
    await see('q=8');
  });

  test('between two pages: the list starts again', async () => {
    const server = await new FakeKube().start();
    onTestFinished(async () => await server.stop());
    const site = makeKubeSite(server.access, { Network: '10.244.0.0/16' });
    for (let host = 1; host <= 5; host++) await site.putPeer(`p${host}`, `10.244.${host}.0/24`, nodeAttributes(host));
    let pages = 0;
    server.intercept = ({ url }) => {
      if (url.searchParams.has('continue') && pages++ === 1) server.compact();
      return false;
    };
    const { until } = follow(await site.manager('watcher', { pageSize: 2 }));
    const { leases } = await until(() => true);
    expect(leases.size).toBe(5);
    expect(pages).toBeGreaterThan(3);
  });
});

describe('events that are not as they should be', () => {
  test('a line that is no JSON: the watch is opened again', async () => {
    const { server, put, see } = await makeScene();
    server.sendRaw('<html>bad gateway</html>\n');
    await put('p', 7);
    await see('p=7');
  });

  test('lines that cannot be read, again and again: everything is listed', async () => {
    const { server, put, see } = await makeScene();
    let bad = 0;
    server.intercept = ({ url }, response) => {
      if (!url.searchParams.has('watch') || bad >= 3) return false;
      bad++;
      response.writeHead(200).end('nonsense\n');
      return true;
    };
    const lists = listsOf(server);
    server.endWatches();
    await put('p', 7);
    await see('p=7');
    expect(listsOf(server)).toBe(lists + 1);
  });

  test('bytes that arrive one by one', async () => {
    const scene = await makeScene();
    await scene.put('p', 7);
    await scene.see('p=7');
    for (const char of altered(scene, 'p', 200, '5000')) {
      scene.server.sendRaw(char);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await scene.see('p=200');
  });

  test('duplicates and events out of order: the newest event of each node counts', async () => {
    const scene = await makeScene();
    await scene.put('p', 7);
    await scene.put('q', 8);
    await scene.see('p=7', 'q=8');
    const newest = altered(scene, 'p', 30, '5002');
    const older = altered(scene, 'p', 31, '5001');
    const other = altered(scene, 'q', 40, '5000');
    scene.server.sendRaw(newest + newest + older + newest + other);
    await scene.see('p=30', 'q=40');
  });

  test('an old event after a deletion does not bring the node back; a new node of that name does', async () => {
    const scene = await makeScene();
    await scene.put('p', 7);
    await scene.put('q', 8);
    await scene.see('p=7', 'q=8');
    const late = altered(scene, 'p', 99, String(Number(scene.node('p').metadata.resourceVersion)));
    await scene.site.deleteNode('p');
    scene.server.sendRaw(late);
    await scene.put('q', 9);
    await scene.see('q=9');
    await scene.site.createNode('p', ['10.244.77.0/24']);
    await scene.put('p', 10);
    await scene.see('p=10', 'q=9');
  });
});

describe('requests', () => {
  test('ask for pages of the list, and only for metadata of changes', async () => {
    const server = await new FakeKube().start();
    onTestFinished(async () => await server.stop());
    const site = makeKubeSite(server.access, { Network: '10.0.0.0/8' });
    for (let at = 0; at < 1203; at++) server.addNode(`n${at}`, [`10.${at >> 8}.${at & 255}.0/24`], annotated(site, at));
    const { until } = follow(await site.manager('watcher', { pageSize: 100 }));
    const { leases } = await until(() => true);
    expect(leases.size).toBe(1203);
    expect(server.requests.filter(({ url }) => url.searchParams.get('limit') === '100')).toHaveLength(13);
    server.change('n5', (node) => Object.assign(node.metadata.annotations, annotated(site, 5, 'other')));
    await until((snapshot) => snapshot.leases.get('n5')?.backendType === 'other');
    expect(server.requests.filter(({ url }) => url.pathname.endsWith('/n5'))).toEqual([]);
  });

  test('take the other addresses of a node from the list, and again when its public address changes', async () => {
    const server = await new FakeKube().start();
    onTestFinished(async () => await server.stop());
    const site = makeKubeSite(server.access, { Network: '10.0.0.0/8' });
    const addresses = (...texts: string[]): object => ({
      addresses: texts.map((address) => ({ type: 'InternalIP', address })),
    });
    server.addNode('n5', ['10.0.5.0/24'], annotated(site, 5));
    server.change('n5', (node) => Object.assign(node, { status: addresses('172.16.0.5', 'fd00::5') }));
    const { until } = follow(await site.manager('watcher'));
    const hosts = ({ leases }: LeaseSnapshot): string => (leases.get('n5')?.hostAddresses ?? []).map(formatIp).join();
    await until((snapshot) => hosts(snapshot) === '172.16.0.5,fd00::5');
    server.change('n5', (node) => {
      Object.assign(node.metadata.annotations, annotated(site, 6));
      Object.assign(node, { status: addresses('172.16.0.6') });
    });
    await until((snapshot) => hosts(snapshot) === '172.16.0.6');
    expect(server.requests.filter(({ url }) => url.pathname.endsWith('/n5'))).toHaveLength(1);
  });

  test('ask for the podCIDR of a node that joins later, also when it is assigned after the annotations', async () => {
    const { server, site, see } = await makeScene();
    server.addNode('p', [], annotated(site, 7));
    await expect.poll(() => server.requests.some(({ url }) => url.pathname.endsWith('/nodes/p'))).toBe(true);
    server.change('p', ({ spec }) => Object.assign(spec, { podCIDR: '10.244.7.0/24', podCIDRs: ['10.244.7.0/24'] }));
    await see('p=7');
  });

  test('D10: many changes at one moment give few snapshots, and none is lost', async () => {
    const { server, site, watcher } = await makeScene();
    for (let at = 0; at < 500; at++) server.addNode(`n${at}`, ['10.244.7.0/24'], annotated(site, 1));
    await watcher.until(({ leases }) => leases.size === 500);
    const before = watcher.snapshots.length;
    for (let round = 2; round < 12; round++) {
      for (let at = 0; at < 500; at++) {
        server.change(`n${at}`, (node) => Object.assign(node.metadata.annotations, annotated(site, round)));
      }
    }
    await watcher.until(({ leases }) => [...leases.values()].every((lease) => publicIpOf(lease) === '192.168.0.11'));
    expect(watcher.snapshots.length - before).toBeLessThan(500);
  });
});

function annotated({ prefix }: KubeSite, host: number, type = 'vxlan'): Record<string, string> {
  return {
    [`${prefix}kube-subnet-manager`]: 'true',
    [`${prefix}backend-type`]: type,
    [`${prefix}backend-data`]: '{"VNI":1,"VtepMAC":"02:00:00:00:00:01"}',
    [`${prefix}public-ip`]: `192.168.0.${host & 255}`,
  };
}

function listsOf({ requests }: FakeKube): number {
  return requests.filter(({ url }) => url.searchParams.has('limit')).length;
}

function watchesOf({ requests }: FakeKube): number {
  return requests.filter(({ url }) => url.searchParams.has('watch')).length;
}
