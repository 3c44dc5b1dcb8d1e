// What the agent writes about its own Node, and when; D5–D7 of flannel's defects.

import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { formatIp, type Ip, parseIp } from '../../../lib/ip.ts';
import { parseJson } from '../../../lib/json.ts';
import { FakeKube, fail } from '../../../test/support/fake-kube.ts';
import { follow, subnetsOf } from '../../../test/support/follow.ts';
import { type KubeSite, makeKubeSite } from '../../../test/support/kube-site.ts';
import { recordingLog } from '../../../test/support/recording-log.ts';
import { never, nodeAttributes } from '../../../test/support/store-contract.ts';
import type { LeaseAttributes } from '../manager.ts';
import { createKubeManager, kubeDefaults } from './kube.ts';

vi.setConfig({ testTimeout: 30_000 });

const ipv4 = { Network: '10.244.0.0/16' };

async function makeScene(netConf: object = ipv4, prefixPath = ''): Promise<{ server: FakeKube; site: KubeSite }> {
  const server = await new FakeKube().start();
  onTestFinished(async () => await server.stop());
  return { server, site: makeKubeSite(server.access, netConf, { prefixPath }) };
}

/** Bodies of the patches sent so far. */
function patches({ requests }: FakeKube): { path: string; type: string; body: unknown }[] {
  return requests
    .filter(({ contentType }) => contentType === 'application/strategic-merge-patch+json')
    .map(({ url, contentType, body }) => ({ path: url.pathname, type: contentType, body }));
}

describe('annotations', () => {
  test('are flannel’s, byte for byte, in one patch of the status sub-resource', async () => {
    const { server, site } = await makeScene({ ...ipv4, EnableIPv6: true, IPv6Network: 'fd00:10:244::/48' });
    const manager = await site.manager('a');
    await manager.acquire(nodeAttributes(1, true), never);
    const annotations = {
      'kube-subnet-manager': 'true',
      'backend-type': 'vxlan',
      'backend-data': '{"VNI":1,"VtepMAC":"02:00:00:00:00:01"}',
      'backend-v6-data': '{"VNI":1,"VtepMAC":"06:00:00:00:00:01"}',
      'public-ip': '192.168.0.1',
      'public-ipv6': 'fd00::1',
    };
    expect(await site.annotations('a')).toEqual(annotations);
    const named = Object.fromEntries(Object.entries(annotations).map(([key, value]) => [site.prefix + key, value]));
    expect(patches(server)).toEqual([
      {
        path: `/api/v1/nodes/${site.nodeName('a')}/status`,
        type: 'application/strategic-merge-patch+json',
        body: { metadata: { annotations: named } },
      },
    ]);
    await manager.acquire(nodeAttributes(1, true), never);
    expect(patches(server)).toHaveLength(1);
  });

  test('offer a key only while the node moves to another backend', async () => {
    const { site } = await makeScene();
    const manager = await site.manager('a');
    const moveData = parseJson('{"Type":"wireguard","PublicKey":"k","Port":51820}');
    const lease = await manager.acquire({ ...nodeAttributes(1), moveData }, never);
    expect(lease.moveData).toEqual(moveData);
    const offered = async (): Promise<unknown> => (await site.annotations('a'))['weft-move-data'];
    expect(await offered()).toBe('{"Type":"wireguard","PublicKey":"k","Port":51820}');
    expect((await manager.acquire(nodeAttributes(1), never)).moveData).toBeUndefined();
    expect(await offered()).toBe('');
  });

  test('of a backend without data are null', async () => {
    const { site } = await makeScene();
    const attributes: LeaseAttributes = { backendType: '', publicIp: parseIp('192.168.0.1') };
    await (await site.manager('a')).acquire(attributes, never);
    expect(await site.annotations('a')).toMatchObject({ 'backend-type': '', 'backend-data': 'null' });
  });

  test('the public IP that is overwritten is published from the start, when it changes, and not after it is removed', async () => {
    const { site } = await makeScene();
    await site.createNode('a', ['10.244.1.0/24']);
    await site.annotate('a', { 'public-ip-overwrite': '203.0.113.7' });
    const manager = await site.manager('a');
    const lease = await manager.acquire(nodeAttributes(1), never);
    expect(lease.publicIp && formatIp(lease.publicIp)).toBe('203.0.113.7');
    follow(manager);
    const published = async (): Promise<unknown> => (await site.annotations('a'))['public-ip'];
    expect(await published()).toBe('203.0.113.7');
    await site.annotate('a', { 'public-ip-overwrite': '203.0.113.8' });
    await expect.poll(published, { timeout: 5000 }).toBe('203.0.113.8');
    await site.annotate('a', { 'public-ip-overwrite': null });
    await expect.poll(published, { timeout: 5000 }).toBe('192.168.0.1');
  });

  const refused = [
    { bad: 'garbage', why: 'is no IPv4 address' },
    { bad: 'fd00::1', why: 'is no IPv4 address' },
    { bad: '127.0.0.1', why: 'is a loopback address' },
    { bad: '0.0.0.0', why: 'is the unspecified address' },
    { bad: '239.1.1.1', why: 'is a multicast address' },
    { bad: '255.255.255.255', why: 'is the broadcast address' },
    { bad: '192.168.0.255', why: 'is the broadcast address of a link of this node' },
    { bad: '10.244.9.9', why: 'lies inside the pod network 10.244.0.0/16' },
  ].flatMap((row) => ['public-ip-overwrite', 'node-public-ip'].map((key) => ({ ...row, key })));

  test.for(refused)('$key=$bad is refused and reported, and the value before it stays', async ({ key, bad, why }) => {
    const { server, site } = await makeScene();
    await site.createNode('a', ['10.244.1.0/24']);
    await site.annotate('a', { [key]: bad });
    const isBroadcast = (ip: Ip): boolean => formatIp(ip) === '192.168.0.255';
    const manager = await site.manager('a', { isBroadcast });
    await manager.networkConfig(never);
    const message = (end: string): string =>
      `annotation ${site.prefix}${key}: expected an IPv4 unicast address that other nodes can send to, outside the pod ` +
      `network 10.244.0.0/16, got "${bad}", which ${why}; ${end}`;
    expect(await manager.nodeAddresses?.(never)).toEqual({ refused: [message('this annotation is ignored')] });
    await manager.acquire(nodeAttributes(1), never);
    expect((await site.annotations('a'))['public-ip']).toBe('192.168.0.1');
    const { until } = follow(manager);
    await site.annotate('a', { [key]: '203.0.113.8' });
    await until(({ nodeAddresses }) => nodeAddresses !== undefined && nodeAddresses.refused === undefined);
    await site.annotate('a', { [key]: bad });
    const { nodeAddresses } = await until(({ nodeAddresses }) => nodeAddresses?.refused !== undefined);
    expect(nodeAddresses?.refused).toEqual([message('203.0.113.8 stays in use')]);
    expect(nodeAddresses?.[key === 'node-public-ip' ? 'publicIp' : 'overwriteIp']).toEqual(parseIp('203.0.113.8'));
    const told = (): unknown[] => server.events.filter(({ reason }) => reason === 'PublicIPRefused');
    await expect.poll(() => told().length, { timeout: 5000 }).toBe(2);
    expect(told()).toMatchObject([{ type: 'Warning', message: message('this annotation is ignored') }, {}]);
    if (key === 'node-public-ip') return;
    await expect.poll(async () => (await site.annotations('a'))['public-ip'], { timeout: 5000 }).toBe('203.0.113.8');
    // The same holds after a restart, because of the saved state.
    const again = await site.manager('a', { isBroadcast, earlierAddresses: { overwriteIp: parseIp('203.0.113.8') } });
    await again.networkConfig(never);
    const lease = await again.acquire(nodeAttributes(1), never);
    expect(lease.publicIp && formatIp(lease.publicIp)).toBe('203.0.113.8');
  });

  test('D6: our own lease is known by its name, under a prefix with a slash too', async () => {
    const { site } = await makeScene(ipv4, '/9');
    expect(site.prefix).toMatch(/weft\.test\/9-$/);
    await (await site.manager('a')).acquire(nodeAttributes(1), never);
    const { snapshots, until } = follow(await site.manager('a'));
    await until(() => true);
    const [snapshot] = snapshots;
    expect(snapshot?.ownKey).toBe(site.nodeName('a'));
    expect(snapshot?.leases.get(site.nodeName('a'))?.backendData).toEqual(nodeAttributes(1).backendData);
  });
});

describe('the podCIDR', () => {
  test('is waited for, and an Event and a message say what to do', async () => {
    const { server, site } = await makeScene();
    await site.createNode('a', []);
    const acquiring = (await site.manager('a')).acquire(nodeAttributes(1), never);
    await expect.poll(() => server.events).toHaveLength(1);
    expect(server.events[0]).toMatchObject({
      reason: 'PodCIDRNotAssigned',
      type: 'Warning',
      involvedObject: { kind: 'Node', name: site.nodeName('a') },
      message: expect.stringContaining(`node "${site.nodeName('a')}" pod cidr not assigned`),
    });
    expect(site.logged.join('\n')).toContain('--allocate-node-cidrs=true');
    expect(patches(server)).toEqual([]);
    server.change(site.nodeName('a'), ({ spec }) => Object.assign(spec, { podCIDR: '10.244.9.0/24' }));
    expect(subnetsOf(await acquiring)).toBe('10.244.9.0/24');
    expect(server.events).toHaveLength(1);
  });

  test('D5: outside of the network it is refused before anything is published', async () => {
    const { server, site } = await makeScene();
    await site.createNode('a', ['10.99.0.0/24']);
    await expect((await site.manager('a')).acquire(nodeAttributes(1), never)).rejects.toThrow(
      `subnet "10.244.0.0/16" specified in the flannel net config doesn't contain "10.99.0.0/24" PodCIDR of the "${site.nodeName('a')}" node`,
    );
    expect(patches(server)).toEqual([]);
    expect(server.events[0]).toMatchObject({ reason: 'PodCIDRNotInNetwork' });
  });

  test('of a missing family is named', async () => {
    const { site } = await makeScene({ ...ipv4, EnableIPv6: true, IPv6Network: 'fd00:10:244::/48' });
    await site.createNode('a', ['10.244.1.0/24']);
    await expect((await site.manager('a')).acquire(nodeAttributes(1, true), never)).rejects.toThrow(
      'pod cidr not assigned for IPv6',
    );
  });

  test('of a Node that was registered again: the annotations are written again; another podCIDR ends the watch with an error', async () => {
    const { site } = await makeScene();
    await site.createNode('a', ['10.244.1.0/24']);
    const manager = await site.manager('a');
    await manager.acquire(nodeAttributes(1), never);
    const { ended } = follow(manager);
    await site.deleteNode('a');
    await site.createNode('a', ['10.244.1.0/24']);
    await expect.poll(async () => (await site.annotations('a'))['public-ip'], { timeout: 10_000 }).toBe('192.168.0.1');
    await site.deleteNode('a');
    await site.createNode('a', ['10.244.2.0/24']);
    await expect(ended).rejects.toThrow(/^kube: keep lease of node .*: lost \(the Node has another podCIDR now/);
  });
});

describe('the condition NetworkUnavailable', () => {
  test('is False when the node forwards, not before, and again on a Node that was registered again', async () => {
    const { server, site } = await makeScene();
    const manager = await site.manager('a');
    await manager.acquire(nodeAttributes(1), never);
    follow(manager);
    const conditions = (): unknown => server.nodes.get(site.nodeName('a'))?.status.conditions;
    await expect.poll(() => server.watchers).toBe(1);
    expect(conditions()).toEqual([]);
    manager.announceReady?.();
    const want = {
      type: 'NetworkUnavailable',
      status: 'False',
      reason: 'FlannelIsUp',
      message: 'Flannel is running on this node',
      lastTransitionTime: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/),
      lastHeartbeatTime: expect.stringMatching(/Z$/),
    };
    await expect.poll(conditions).toEqual([want]);
    await site.deleteNode('a');
    await site.createNode('a', ['10.244.1.0/24']);
    await expect.poll(conditions, { timeout: 10_000 }).toEqual([want]);
  });

  test('D7: is retried until the server accepts it', async () => {
    const { server, site } = await makeScene();
    const manager = await site.manager('a');
    await manager.acquire(nodeAttributes(1), never);
    follow(manager);
    let refused = 0;
    server.intercept = ({ method }, response) => {
      if (method !== 'PATCH' || refused === 3) return false;
      refused++;
      fail(response, 500, 'InternalError', 'etcdserver: request timed out');
      return true;
    };
    manager.announceReady?.();
    await expect
      .poll(() => server.nodes.get(site.nodeName('a'))?.status.conditions.length, { timeout: 10_000 })
      .toBe(1);
    expect(refused).toBe(3);
  });

  test('is not touched when it is not to be set', async () => {
    const { server, site } = await makeScene();
    const manager = await site.manager('a', { setNetworkUnavailable: false });
    await manager.acquire(nodeAttributes(1), never);
    const { until } = follow(manager);
    manager.announceReady?.();
    await until(({ leases }) => leases.size === 1);
    await site.putPeer('p', '10.244.7.0/24', nodeAttributes(7));
    await until(({ leases }) => leases.size === 2);
    expect(server.nodes.get(site.nodeName('a'))?.status.conditions).toEqual([]);
  });
});

describe('which node this is', () => {
  test('the pod’s spec names it when nothing else does, and is asked again while the server refuses', async () => {
    const { server, site } = await makeScene();
    await site.createNode('a', ['10.244.1.0/24']);
    server.pods.set('kube-flannel/agent-x', { spec: { nodeName: site.nodeName('a') } });
    let refused = 0;
    server.intercept = ({ url }, response) => {
      if (!url.pathname.includes('/pods/') || refused++ > 0) return false;
      fail(response, 403, 'Forbidden', 'RBAC: not yet');
      return true;
    };
    const identity = { nodeName: undefined, podName: 'agent-x', podNamespace: 'kube-flannel' };
    const lease = await (await site.manager('a', { identity })).acquire(nodeAttributes(1), never);
    expect(subnetsOf(lease)).toBe('10.244.1.0/24');
    expect(refused).toBeGreaterThan(1);
  });

  test('without any source the error names the missing variables', async () => {
    const { site } = await makeScene();
    const identity = { nodeName: undefined, podName: undefined, podNamespace: undefined };
    await expect((await site.manager('a', { identity })).acquire(nodeAttributes(1), never)).rejects.toThrow(
      'env variables POD_NAME and POD_NAMESPACE must be set',
    );
  });

  test('an administrator may choose its addresses', async () => {
    const { site } = await makeScene();
    await site.createNode('a', ['10.244.1.0/24']);
    await site.annotate('a', { 'node-public-ip': '192.168.9.9', 'node-public-ipv6': 'not an address' });
    const addresses = await (await site.manager('a')).nodeAddresses?.(never);
    expect(addresses).toMatchObject({ publicIp: parseIp('192.168.9.9') });
    expect(addresses).not.toHaveProperty('publicIpv6');
  });
});

test('each report of the node becomes one Event', async () => {
  const { server, site } = await makeScene();
  const manager = await site.manager('a');
  await manager.acquire(nodeAttributes(1), never);
  follow(manager);
  for (const message of ['one', 'two', 'one']) manager.report?.('CNIFoldersDoubtful', message);
  await expect.poll(() => server.events).toHaveLength(2);
  manager.report?.('CNIFoldersDoubtful', 'three');
  await expect.poll(() => server.events).toHaveLength(3);
  const involvedObject = { kind: 'Node', name: site.nodeName('a') };
  expect(server.events).toMatchObject(
    ['one', 'two', 'three'].map((message) => ({ reason: 'CNIFoldersDoubtful', message, involvedObject })),
  );
});

describe('the API server at start', () => {
  test('is waited for while it refuses connections and then requests', async () => {
    const { server, site } = await makeScene();
    await site.createNode('a', ['10.244.1.0/24']);
    let asked = 0;
    server.intercept = (_, response) => {
      asked++;
      if (asked > 3) return false;
      if (asked === 1) response.destroy();
      else fail(response, 403, 'Forbidden', 'nodes "a" is forbidden: User "weft" cannot get resource');
      return true;
    };
    await (await site.manager('a')).acquire(nodeAttributes(1), never);
    expect(site.logged.join('\n')).toMatch(/kube: get node \S+: ECONNRESET/);
    expect(site.logged.join('\n')).toMatch(/kube: get node \S+: 403 Forbidden \(nodes .* is forbidden/);
  });

  test.for(['org', 'org/x', 'Org.com', 'a.com/b/c', 'a.com/B'])('the annotation prefix %s is refused', (prefix) => {
    const { log } = recordingLog();
    const make = (): unknown =>
      createKubeManager({
        ...kubeDefaults,
        access: new FakeKube().access,
        identity: { nodeName: 'a', podName: undefined, podNamespace: undefined },
        annotationPrefix: prefix,
        setNetworkUnavailable: true,
        netConfigPath: '/nowhere',
        log,
        random: Math.random,
        now: () => new Date(),
      });
    expect(make).toThrow('flag: --kube-annotation-prefix: expected a lower-case domain');
  });
});
