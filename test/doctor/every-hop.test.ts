// `flanneld doctor path` from pods and nodes to pods, Services, nodes and the internet, and every hop broken once.

import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { BROKEN_HOPS } from './broken-hops.ts';
import { expectPasses, type PathScene, path, seeBrokenHop, startPathScene } from './path-scene.ts';

let scene: PathScene;

beforeAll(async () => {
  scene = await startPathScene();
});
afterAll(() => scene?.lab.down());

async function nft(script: string): Promise<void> {
  await scene.node.run(['nft', '-f', '-'], { input: script });
}

describe('a packet from a pod to a pod of another node stops', () => {
  test.for(BROKEN_HOPS)('$hop: $what', async (row) => await seeBrokenHop(scene, row));

  test('underlay: the peer’s node does not answer', async () => {
    const { node, other, pod, far } = scene;
    await other.run(['ip', 'link', 'set', 'eth0', 'down']);
    onTestFinished(async () => {
      await other.run(['sh', '-c', 'ip link set eth0 up; ip route replace default via 192.168.50.1']);
      await node.exec(['ping', '-c', '1', '-W', '5', other.address]);
    });
    await node.exec(['sh', '-c', `ip neigh del ${other.address} dev eth0; ping -c 1 -W 4 ${other.address}`]);
    const { hops, findings } = await path(node, pod.ip, far.ip);
    expect(hops.at(-1)).toMatchObject({ name: 'underlay', result: 'stop' });
    expect(findings).toMatchObject([{ id: 'peer-unreachable', peer: 'node-2' }]);
  });

  test('pod: no pod has the address, on this node or another', async () => {
    const { node, pod } = scene;
    const nobody = pod.ip.replace(/\d+$/, '200');
    expect((await path(node, nobody, pod.ip)).findings).toMatchObject([{ id: 'address-unused' }]);
    const { hops, findings } = await path(node, pod.ip, '10.244.255.9');
    expect(hops.at(-1)).toMatchObject({ name: 'route', result: 'stop' });
    expect(findings).toMatchObject([{ id: 'address-unused', cause: expect.stringContaining('in no node’s subnet') }]);
  });
});

test('from a pod to a pod of the same node it passes bridge and ports, and stops at a port that is down', async () => {
  const { node, pod, near } = scene;
  const { hops } = await expectPasses(node, pod.ip, near.ip);
  // Whether the kernel still tracks a connection between the two depends on how long ago earlier packets were.
  const always = hops.filter(({ name }) => name !== 'connection');
  expect(always.map(({ name, result }) => `${name} ${result}`)).toEqual([
    'pod ok',
    'bridge ok',
    'rules unknown',
    'pod ok',
  ]);
  const port =
    (near.result['interfaces'] as { name: string }[]).find(({ name }) => name.startsWith('veth'))?.name ?? '';
  await node.run(['ip', 'link', 'set', port, 'down']);
  onTestFinished(async () => void (await node.run(['ip', 'link', 'set', port, 'up'])));
  expect((await path(node, pod.ip, near.ip)).findings).toMatchObject([{ id: 'pod-port-detached' }]);
});

describe('a packet from another node', () => {
  test('reaches a pod and this node, also when the other node itself sends it', async () => {
    const { node, pod, far } = scene;
    const { hops } = await expectPasses(node, far.ip, pod.ip);
    expect(hops.map(({ name }) => name)).toEqual(
      expect.arrayContaining(['forwarding', 'route', 'rules', 'pod', 'answer']),
    );
    await expectPasses(node, 'node-2', pod.ip);
  });

  test('stops at a rule that refuses it', async () => {
    const { node, pod, far } = scene;
    await nft('table inet some { chain pass { type filter hook forward priority 0; iifname "flannel.1" reject; }; }');
    onTestFinished(() => nft('delete table inet some'));
    const { findings } = await path(node, far.ip, pod.ip);
    expect(findings).toMatchObject([{ id: 'firewall-refuses-pods', cause: expect.stringContaining('reject') }]);
    await expectPasses(node, pod.ip, scene.near.ip);
  });

  test('stops where rp_filter is strict and the route back to its sender uses another device', async () => {
    const { node, pod, far } = scene;
    await node.run(['sh', '-c', `sysctl -qw net.ipv4.conf.all.rp_filter=1; ip route add ${far.ip} via 192.168.50.1`]);
    onTestFinished(
      async () =>
        void (await node.run(['sh', '-c', `sysctl -qw net.ipv4.conf.all.rp_filter=0; ip route del ${far.ip}`])),
    );
    const { findings } = await path(node, far.ip, pod.ip);
    expect(findings).toMatchObject([{ id: 'rp-filter-strict' }]);
  });
});

describe('a packet from a pod to a Service', () => {
  const TABLE = (verdict: string): string => `table ip kube-proxy {
    chain services { ip daddr 10.96.0.10 tcp dport 443 ${verdict}; }
    chain nat-prerouting { type nat hook prerouting priority dstnat; jump services; }
    chain nat-output { type nat hook output priority -100; jump services; }
  }`;

  test('is followed to the pod behind the Service, from a pod and from the node', async () => {
    const { node, pod, far } = scene;
    await nft(TABLE(`dnat to ${far.ip}:8443`));
    onTestFinished(() => nft('delete table ip kube-proxy'));
    for (const from of [pod.ip, 'node-1']) {
      const { hops } = await expectPasses(node, from, '10.96.0.10', '443');
      const service = hops.find(({ name }) => name === 'service');
      expect(service?.answer).toContain(`10.96.0.10:443/tcp is translated to ${far.ip}:8443: pod ${far.ip} of node-2`);
      expect(hops.map(({ name }) => name)).toContain('fdb');
    }
  });

  test('stops where kube-proxy has no pod for the Service', async () => {
    const { node, pod } = scene;
    await nft(`table ip kube-proxy {
      chain no-endpoints { type filter hook forward priority 0; ip daddr 10.96.0.10 tcp dport 443 reject; }
    }`);
    onTestFinished(() => nft('delete table ip kube-proxy'));
    const { findings } = await path(node, pod.ip, '10.96.0.10', '443');
    expect(findings).toMatchObject([{ id: 'service-without-pods' }]);
  });

  test('stops at the tunnel to the pod behind the Service', async () => {
    const { node, pod, far } = scene;
    await nft(TABLE(`dnat to ${far.ip}:8443`));
    onTestFinished(() => nft('delete table ip kube-proxy'));
    const base = far.ip.replace(/\d+$/, '0');
    const mac = /lladdr (\S+)/.exec(await node.run(['ip', 'neigh', 'show', base, 'dev', 'flannel.1']))?.[1] ?? '';
    await node.run(['ip', 'neigh', 'del', base, 'dev', 'flannel.1']);
    onTestFinished(
      async () =>
        void (await node.run(['ip', 'neigh', 'replace', base, 'lladdr', mac, 'dev', 'flannel.1', 'nud', 'permanent'])),
    );
    expect((await path(node, pod.ip, '10.96.0.10', '443')).hops.at(-1)).toMatchObject({
      name: 'neighbour',
      result: 'stop',
    });
  });

  test('stops at a conntrack entry that still leads to a pod that is gone', async () => {
    const { node, pod, far } = scene;
    const dns = (to: string): string => `table ip dns {
      chain pre { type nat hook prerouting priority dstnat; ip daddr 10.96.0.53 udp dport 53 dnat to ${to}; }
    }`;
    await nft(dns('10.244.255.7'));
    onTestFinished(() => nft('delete table ip dns'));
    await node.run(['ip', 'route', 'add', '10.244.255.7', 'dev', 'eth0']);
    onTestFinished(async () => void (await node.run(['ip', 'route', 'del', '10.244.255.7'])));
    await pod.exec(['bash', '-c', 'echo > /dev/udp/10.96.0.53/53']);
    await nft(`delete table ip dns\n${dns(far.ip)}`);
    const { findings } = await path(node, pod.ip, '10.96.0.53', '53/udp');
    expect(findings).toMatchObject([
      { id: 'connection-stale', evidence: expect.stringContaining('10.244.255.7, UNREPLIED') },
    ]);
  });
});

describe('a packet to a node or to the internet', () => {
  test('goes from a pod to another node, to its own node, and from a node to a pod', async () => {
    const { node, pod, far } = scene;
    expect((await expectPasses(node, pod.ip, 'node-2')).hops.map(({ name }) => name)).toContain('underlay');
    await expectPasses(node, pod.ip, 'node-1');
    expect((await expectPasses(node, 'node-1', far.ip)).hops.map(({ name }) => name)).toContain('fdb');
  });

  test('goes from a pod to the internet by the default route, until that is gone', async () => {
    const { node, pod } = scene;
    const { hops } = await expectPasses(node, pod.ip, '198.51.100.7', '443');
    expect(hops.find(({ name }) => name === 'route')?.answer).toContain('dev eth0');
    await node.run(['ip', 'route', 'del', 'default']);
    onTestFinished(async () => void (await node.run(['ip', 'route', 'add', 'default', 'via', '192.168.50.1'])));
    expect((await path(node, pod.ip, '198.51.100.7', '443')).findings).toMatchObject([{ id: 'route-missing' }]);
  });
});

test('leaves nothing behind: no table, device or connection of a test packet', async () => {
  const { node } = scene;
  expect(await node.run(['nft', 'list', 'tables'])).not.toContain('weft_path');
  expect(await node.run(['ip', 'link'])).not.toContain('weft-probe');
  const kept = await node.exec(['cat', '/proc/net/nf_conntrack']);
  expect(kept.stdout).not.toContain('198.51.100.7');
});
