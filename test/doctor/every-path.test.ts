// `flanneld doctor path` in the cases that every-hop.test.ts leaves out: IPv6, host-gw, and rules of iptables-legacy, which nft does not
// show. Each path is followed without a fault, and then with one that stops it.

import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { needs } from '../support/needs.ts';
import { expectPasses, type PathScene, path, startPathScene } from './path-scene.ts';

interface Fault {
  readonly what: string;
  /** Shell commands; POD, FAR and SUBNET stand for addresses and the other node's subnet. */
  readonly make: string;
  readonly undo: string;
  readonly hop: string;
  readonly id: string;
}

/** Makes the fault, checks where the path stops and why, ends the fault, and checks that packets pass. */
async function seeFault({ node }: PathScene, from: string, to: string, subnet: string, fault: Fault): Promise<void> {
  const shell = async (script: string): Promise<void> => {
    const filled = script.replaceAll('POD', from).replaceAll('FAR', to).replaceAll('SUBNET', subnet);
    await node.run(['sh', '-c', filled]);
  };
  await shell(fault.make);
  try {
    const { findings, hops, exitCode } = await path(node, from, to);
    expect(hops.at(-1), JSON.stringify(hops)).toMatchObject({ name: fault.hop, result: 'stop' });
    expect(findings.map(({ id }) => id)).toEqual([fault.id]);
    expect(exitCode).toBe(1);
  } finally {
    await shell(fault.undo);
  }
  await expectPasses(node, from, to);
}

describe('over IPv6', () => {
  let scene: PathScene;
  let from = '';
  let to = '';
  let subnet = '';
  beforeAll(async () => {
    scene = await startPathScene({
      netConf: {
        ...{ Network: '10.244.0.0/16', EnableIPv6: true, IPv6Network: 'fd00:244::/48' },
        Backend: { Type: 'vxlan' },
      },
    });
    [from = '', to = ''] = [scene.pod, scene.far].map(({ ips }) => ips.find((ip) => ip.includes(':')));
    const routes = await scene.node.run(['ip', '-6', 'route', 'show', 'dev', 'flannel-v6.1', 'proto', '138']);
    subnet = routes.split(/\s/)[0] ?? '';
  });
  afterAll(() => scene?.lab.down());

  test('a packet goes from a pod to a pod of another node and back, by every hop', async () => {
    const { hops } = await expectPasses(scene.node, from, to);
    expect(hops.map(({ name }) => name)).toEqual(
      expect.arrayContaining(['pod', 'bridge', 'forwarding', 'route', 'rules', 'neighbour', 'fdb', 'underlay', 'mtu']),
    );
    await expectPasses(scene.node, to, from);
    await expectPasses(scene.node, 'node-1', to);
  });

  test.for<Fault>([
    {
      what: 'forwarding is off',
      make: 'sysctl -qw net.ipv6.conf.all.forwarding=0',
      undo: 'sysctl -qw net.ipv6.conf.all.forwarding=1',
      ...{ hop: 'forwarding', id: 'ip-forward-off' },
    },
    {
      what: 'a blackhole takes the packet',
      make: 'ip -6 route add blackhole FAR',
      undo: 'ip -6 route del blackhole FAR',
      ...{ hop: 'route', id: 'route-shadowed' },
    },
    {
      what: 'a rule of ip6tables drops it',
      make: 'ip6tables-nft -I FORWARD -d FAR -j DROP',
      undo: 'ip6tables-nft -D FORWARD -d FAR -j DROP',
      ...{ hop: 'rules', id: 'firewall-refuses-pods' },
    },
    {
      what: 'the neighbour entry is gone',
      make: 'ip -6 neigh show dev flannel-v6.1 nud permanent > /run/neigh && ip -6 neigh flush dev flannel-v6.1 nud permanent',
      undo: 'while read ip _ mac _; do ip -6 neigh replace $ip lladdr $mac dev flannel-v6.1 nud permanent; done < /run/neigh',
      ...{ hop: 'neighbour', id: 'peer-entry-missing' },
    },
  ])('stops at $hop: $what', (fault) => seeFault(scene, from, to, subnet, fault));
});

describe('with host-gw', () => {
  let scene: PathScene;
  beforeAll(async () => {
    scene = await startPathScene({ netConf: { Network: '10.244.0.0/16', Backend: { Type: 'host-gw' } } });
  });
  afterAll(() => scene?.lab.down());

  const subnetOfFar = (): string => scene.far.ip.replace(/\d+$/, '0/24');

  test('a packet goes from a pod to a pod of another node, without a tunnel', async () => {
    const { node, pod, far } = scene;
    const { hops } = await expectPasses(node, pod.ip, far.ip);
    expect(hops.map(({ name }) => name)).toEqual(expect.arrayContaining(['pod', 'bridge', 'route', 'underlay', 'mtu']));
    expect(hops.map(({ name }) => name)).not.toContain('fdb');
  });

  test.for<Fault>([
    {
      what: 'the route is gone',
      make: 'ip route del SUBNET',
      undo: 'ip route add SUBNET via 192.168.50.12 dev eth0 proto 138',
      ...{ hop: 'route', id: 'route-missing' },
    },
    {
      what: 'a longer route leads to another machine',
      make: 'ip route add FAR via 192.168.50.1 dev eth0',
      undo: 'ip route del FAR',
      ...{ hop: 'route', id: 'route-shadowed' },
    },
    {
      what: 'a rule drops it',
      make: 'nft "table ip some { chain f { type filter hook forward priority 0; ip daddr FAR drop; }; }"',
      undo: 'nft delete table ip some',
      ...{ hop: 'rules', id: 'firewall-refuses-pods' },
    },
    {
      what: 'the other node is off',
      make: 'ip neigh replace 192.168.50.12 dev eth0 nud failed',
      undo: 'ip neigh del 192.168.50.12 dev eth0; ping -c 1 -W 5 192.168.50.12 >/dev/null',
      ...{ hop: 'underlay', id: 'peer-unreachable' },
    },
  ])('stops at $hop: $what', (fault) => seeFault(scene, scene.pod.ip, scene.far.ip, subnetOfFar(), fault));
});

describe('rules of iptables-legacy', () => {
  let scene: PathScene;
  beforeAll(async () => {
    scene = await startPathScene();
  });
  afterAll(() => scene?.lab.down());

  test('that drop the packet are found by sending one, and the text names the command that shows them', async () => {
    const { node, pod, far } = scene;
    const has = await node.exec(['iptables-legacy', '-S']);
    needs.machine(has.exitCode === 0, 'iptables-legacy in the kernel');
    await node.run(['iptables-legacy', '-I', 'FORWARD', '-d', far.ip, '-j', 'DROP']);
    onTestFinished(async () => void (await node.exec(['iptables-legacy', '-F', 'FORWARD'])));
    const { findings, hops } = await path(node, pod.ip, far.ip);
    expect(hops.at(-1), JSON.stringify(hops)).toMatchObject({ name: 'rules', result: 'stop' });
    expect(findings).toMatchObject([{ id: 'firewall-refuses-pods' }]);
    expect(findings[0]?.fix).toContain('iptables-legacy-save');
    await node.run(['iptables-legacy', '-F', 'FORWARD']);
    await expectPasses(node, pod.ip, far.ip);
  });
});
