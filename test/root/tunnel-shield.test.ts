// No packet from the tunnel or from a pod may change a node's routes, addresses or neighbours. Each kind of packet that could is
// sent from the underlay inside VXLAN and by a pod on the bridge, with and without IPv6 forwarding on the node. The control sends
// the same packet after the rules were removed.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { renderTable } from '../../flanneld/firewall/nft-table.ts';
import { tunnelTables } from '../../flanneld/firewall/tunnel-rules.ts';
import { parsePrefix } from '../../lib/ip.ts';
import { SUBNET_FILE } from '../lab/contract.ts';
import { type Lab, startLab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import type { LabPod } from '../lab/lab-pod.ts';
import { waitForMesh } from '../lab/mesh.ts';
import { waitUntil } from '../lab/processes.ts';
import {
  arp,
  icmp6,
  icmpRedirect,
  ipv4,
  ipv4Packet,
  mld,
  neighbourAdvertisement,
  neighbourSolicitation,
  redirect6,
  routerAdvertisement,
  routerSolicitation,
  sendFrame,
  sendUdp,
  vxlan,
} from '../support/tunnel-packets.ts';

const LOOK_MS = 10_000;
/** How long to wait for a packet to arrive where nothing shows that it has. */
const ARRIVED_MS = 300;
const MAC = '02:bb:bb:bb:bb:bb';
const ALL_NODES = 'ff02::1';
const EVIL = 'fe80::bad:1';
const OTHER = 'fe80::bad:2';
/** Destinations that the node routes through the attacker, because the kernel accepts redirects only from the gateway. */
const [ROUTED4, ROUTED6] = ['198.51.100.5', '2001:db8:7::5'];
const DEVICES = ['flannel.1', 'flannel-v6.1', 'cni0'] as const;
type Device = (typeof DEVICES)[number];

const NETWORKS = {
  Network: '10.244.0.0/16',
  EnableIPv6: true,
  IPv6Network: 'fd00:10:244::/48',
  Backend: { Type: 'vxlan' },
};

let lab: Lab;
let node: LabNode;
let stranger: LabNode;
let pod: LabPod;
/** Another pod on the node. */
let neighbour: LabPod;
/** The bridge's settings (accept_ra, redirects) as the CNI executable left them. */
let bridgeTakes: string[] = [];
const links = new Map<Device, { mac: string; linkLocal: string }>();

beforeAll(async () => {
  lab = await startLab({ nodes: 2, netConf: NETWORKS, agent: { start: false } });
  for (const each of lab.nodes) {
    const host = each.address.split('.')[3];
    await each.run(['ip', '-6', 'address', 'add', `fd00:50::${host}/64`, 'dev', 'eth0', 'nodad']);
    await each.run(['ip', '-6', 'route', 'add', 'default', 'via', 'fd00:50::1', 'dev', 'eth0']);
  }
  for (const each of lab.nodes) await each.agent.start();
  for (const each of lab.nodes) await each.agent.ready();
  await waitForMesh(lab.nodes);
  [node, stranger] = [lab.node('node-1'), lab.node('node-2')];
  pod = await node.addPod();
  neighbour = await node.addPod();
  await stranger.run(['ip', 'address', 'add', '192.168.50.77/24', 'dev', 'eth0']);
  await stranger.run(['ip', '-6', 'address', 'add', 'fd00:50::77/64', 'dev', 'eth0', 'nodad']);
  const read = async (key: string): Promise<string> => (await node.run(['cat', `/proc/sys/net/${key}`])).trim();
  bridgeTakes = await Promise.all(
    ['ipv6/conf/cni0/accept_ra', 'ipv6/conf/cni0/accept_redirects', 'ipv4/conf/cni0/accept_redirects'].map(read),
  );
  // Makes the kernel accept as much as possible, so that only the rules protect it.
  for (const device of ['all', ...DEVICES]) {
    for (const key of ['ipv4/conf/*/accept_redirects', 'ipv6/conf/*/accept_redirects', 'ipv4/conf/*/arp_accept']) {
      await set(key.replace('*', device), 1);
    }
    await set(`ipv6/conf/${device}/accept_ra`, 2);
    await set(`ipv4/conf/${device}/rp_filter`, 0);
  }
  await waitUntil(
    async () => (await Promise.all(DEVICES.map(learn))).every((known) => known),
    LOOK_MS,
    'link-local addresses',
  );
  // Waits, because pods' veths have tentative addresses at first.
  const isQuiet = async (): Promise<boolean> => !(await node.run(['ip', 'address'])).includes('tentative');
  await waitUntil(isQuiet, LOOK_MS, 'all addresses to be settled');
});
afterAll(() => lab?.down());

async function set(key: string, value: number): Promise<void> {
  await node.run(['sh', '-c', `echo ${value} >/proc/sys/net/${key}`]);
}

async function learn(device: Device): Promise<boolean> {
  const [link] = JSON.parse(await node.run(['ip', '-j', 'address', 'show', 'dev', device])) as {
    address: string;
    addr_info: { scope: string; local: string; tentative?: boolean }[];
  }[];
  const own = link?.addr_info.find(({ scope, local }) => scope === 'link' && local.startsWith('fe80'));
  if (link === undefined || own === undefined || own.tentative === true) return false;
  links.set(device, { mac: link.address, linkLocal: own.local });
  return true;
}

/** Runs many commands in one process, because a busy machine takes long to start each. Their failures are ignored. */
async function shell(...commands: readonly string[]): Promise<string> {
  return (await node.exec(['sh', '-c', commands.join('\n')])).stdout;
}

/** The state that must not change, without timers and without the states of neighbours, which traffic changes. */
async function state(): Promise<string> {
  const shown = await shell(
    'ip route show table all',
    'ip -6 route show table all',
    'ip address show',
    `ip route get ${ROUTED4}`,
    `ip -6 route get ${ROUTED6}`,
    'ip -4 neigh show nud all',
    'ip -6 neigh show nud all',
  );
  return (
    shown
      .replace(/ (expires|valid_lft|preferred_lft|hoplimit|uid|pref|age|qdisc) \S+/g, '')
      .replace(/ (REACHABLE|STALE|DELAY|PROBE|router)\b/g, '')
      .split('\n')
      .filter((line) => !/ NOARP|FAILED|INCOMPLETE|^ +cache *$/.test(line))
      // Leaves out neighbours that the lab's own packets create: those on the underlay, and pods, which have such MACs.
      .filter((line) => !/ dev eth0 lladdr | lladdr 0a:58:/.test(line))
      .toSorted()
      .join('\n')
  );
}

/** The number of packets that the rules have refused, including ARP. */
async function refused(): Promise<number> {
  const listed = await shell('nft list counter inet weft refused', 'nft list counter arp weft refused');
  return [...listed.matchAll(/packets (\d+)/g)].reduce((sum, [, packets]) => sum + Number(packets), 0);
}

/** Sends a frame so that the node receives it on `device`. */
async function send(device: Device, frame: Buffer): Promise<void> {
  if (device === 'cni0') await pod.exec(sendFrame('eth0', frame));
  else if (device === 'flannel.1') await stranger.run(sendUdp('192.168.50.77', node.address, vxlan(frame)));
  else await stranger.run(sendUdp('fd00:50::77', `fd00:50::${node.address.split('.')[3]}`, vxlan(frame)));
}

interface Attack {
  readonly name: string;
  readonly frame: (device: Device, link: { from: string; to: string }, linkLocal: string) => Buffer;
  /** The devices on which the rules refuse it, as their counter shows. */
  readonly refusedOn: readonly Device[];
  /** Whether, without the rules, it would change something on this device with this setting of IPv6 forwarding. */
  readonly changes: (device: Device, forwards: boolean) => boolean;
}

const never = (): boolean => false;
const always = (): boolean => true;
const anywhere = DEVICES;
const tunnels: readonly Device[] = ['flannel.1', 'flannel-v6.1'];

const attacks: readonly Attack[] = [
  {
    name: 'a router advertisement',
    frame: (_, link) => icmp6(link, EVIL, ALL_NODES, routerAdvertisement(MAC, '2001:db8:bad::')),
    refusedOn: anywhere,
    changes: always,
  },
  {
    name: 'a redirect of IPv6',
    frame: (_, link, linkLocal) => icmp6(link, EVIL, linkLocal, redirect6(OTHER, ROUTED6, MAC)),
    refusedOn: anywhere,
    // A node that forwards is a router and ignores it.
    changes: (device, forwards) => device === 'cni0' && !forwards,
  },
  {
    name: 'a redirect of IPv4',
    frame: (_, link) => {
      // Quotes an echo reply of the node. If it quoted UDP or TCP, the kernel would require a matching socket.
      const quoted = ipv4Packet(node.address, ROUTED4, 1, Buffer.alloc(8));
      return ipv4(link, pod.ip, node.address, 1, icmpRedirect(neighbour.ip, quoted));
    },
    refusedOn: anywhere,
    // The kernel accepts it on any device; it only checks that the route went through the sender.
    changes: always,
  },
  ...[
    { who: 'a peer’s address', ip: () => stranger.address },
    { who: 'the default gateway’s address', ip: () => '192.168.50.1' },
    { who: 'a peer’s VTEP’s address', ip: () => '10.244.250.0' },
  ].map(
    ({ who, ip }): Attack => ({
      name: `an ARP request that claims ${who}`,
      frame: (device, link) => arp(link, 'request', ip(), device === 'cni0' ? gateway() : node.address),
      refusedOn: anywhere,
      changes: always,
    }),
  ),
  {
    name: 'an ARP reply that claims the node’s own address',
    frame: (_, link) => arp(link, 'reply', gateway(), gateway()),
    refusedOn: anywhere,
    changes: never,
  },
  {
    name: 'an unasked ARP reply that claims the default gateway’s address',
    frame: (_, link) => arp({ ...link, to: 'ff:ff:ff:ff:ff:ff' }, 'reply', '192.168.50.1', '192.168.50.1'),
    refusedOn: anywhere,
    changes: always,
  },
  ...[
    { who: 'a peer’s address', ip: () => 'fd00:50::12' },
    { who: 'the default gateway’s address', ip: () => 'fd00:50::1' },
    { who: 'another node’s pod’s address', ip: () => 'fd00:10:244:fa::5' },
  ].map(
    ({ who, ip }): Attack => ({
      name: `a neighbour solicitation that claims ${who}`,
      frame: (_, link, linkLocal) => icmp6(link, ip(), linkLocal, neighbourSolicitation(linkLocal, MAC)),
      refusedOn: anywhere,
      changes: always,
    }),
  ),
  {
    name: 'a router solicitation that claims a peer’s address',
    frame: (_, link, linkLocal) => icmp6(link, 'fd00:50::13', linkLocal, routerSolicitation(MAC)),
    refusedOn: anywhere,
    changes: (_, forwards) => forwards,
  },
  {
    name: 'a neighbour advertisement that claims a gateway’s address',
    frame: (_, link) => icmp6(link, 'fd00:50::1', ALL_NODES, neighbourAdvertisement('fd00:50::1', MAC)),
    refusedOn: anywhere,
    changes: never,
  },
  {
    name: 'a neighbour advertisement that claims the node’s own address',
    frame: (_, link, linkLocal) => icmp6(link, EVIL, ALL_NODES, neighbourAdvertisement(linkLocal, MAC)),
    refusedOn: tunnels,
    changes: never,
  },
  {
    name: 'a query for multicast listeners',
    frame: (_, link) => icmp6({ ...link, to: '33:33:00:00:00:01' }, EVIL, ALL_NODES, mld(130), true),
    refusedOn: tunnels,
    changes: never,
  },
  {
    name: 'a report of a multicast listener',
    frame: (_, link) => icmp6({ ...link, to: '33:33:00:00:00:01' }, EVIL, ALL_NODES, mld(131, 'ff02::1'), true),
    refusedOn: tunnels,
    changes: never,
  },
];

function gateway(): string {
  return pod.ip.replace(/\d+$/, '1');
}

function frameFor({ frame }: Attack, device: Device): Buffer {
  const { mac, linkLocal } = links.get(device) ?? { mac: '', linkLocal: '' };
  return frame(device, { from: MAC, to: mac }, linkLocal);
}

/** Sets up what attacks presuppose: the sysctls, routes through the attacker, and neighbour entries for the pods. */
async function prepare(forwards: boolean): Promise<void> {
  const conf = '/proc/sys/net/ipv6/conf';
  await shell(
    `echo ${forwards ? 1 : 0} >${conf}/all/forwarding`,
    ...DEVICES.flatMap((device) => [
      `echo 2 >${conf}/${device}/accept_ra`,
      `echo 1 >${conf}/${device}/accept_redirects`,
    ]),
    `ip route replace 198.51.100.0/24 via ${pod.ip} dev cni0`,
    `ip -6 route replace 2001:db8:7::/48 via ${EVIL} dev cni0`,
  );
  await node.ping([pod.ip, neighbour.ip]);
}

test('the bridge is made in such a way that it accepts neither advertisements nor redirects', () => {
  expect(bridgeTakes).toEqual(['0', '0', '0']);
});

/** Writes the rules of an agent with --guard=off, whose first question to a packet is another one. No agent may run. */
async function rulesWithoutGuard(): Promise<void> {
  const subnets = ['FLANNEL_SUBNET', 'FLANNEL_IPV6_SUBNET'].map((key) => {
    const [, text = ''] = new RegExp(`^${key}=(.*)$`, 'm').exec(node.readFile(SUBNET_FILE)) ?? [];
    return parsePrefix(text);
  });
  const networks = [NETWORKS.Network, NETWORKS.IPv6Network].map(parsePrefix);
  const about = { vni: 1, devices: ['flannel.1', 'flannel-v6.1'], bridge: 'cni0', networks, subnets };
  const input = tunnelTables({ ...about, guard: undefined }).map((table) => renderTable(table));
  await node.run(['nft', '-f', '-'], { input: input.join('') });
}

const cases = [true, false].flatMap((forwards) => attacks.map((attack) => ({ attack, forwards, name: attack.name })));
const title = '$name, forwards IPv6: $forwards';

describe.each([
  { guard: 'count', forwards: true },
  { guard: 'off', forwards: false },
])('with the rules of --guard=$guard, nothing is changed, forwards IPv6: $forwards, by', ({ guard, forwards }) => {
  beforeAll(async () => {
    if (guard !== 'off') return;
    await node.agent.stop();
    await rulesWithoutGuard();
  });

  test.for(attacks)('$name', async (attack) => {
    await prepare(forwards);
    for (const device of DEVICES) {
      const [before, count] = [await state(), await refused()];
      await send(device, frameFor(attack, device));
      const isRefused = attack.refusedOn.includes(device);
      if (isRefused)
        await waitUntil(async () => (await refused()) > count, LOOK_MS, `the rule to refuse it on ${device}`);
      else await new Promise((resolve) => setTimeout(resolve, ARRIVED_MS));
      expect(await state(), device).toBe(before);
    }
  });

  test('pods still find their gateway, the node finds its pods, and nodes find each other, in both families', async () => {
    await prepare(true);
    for (const device of DEVICES) await node.run(['ip', '-6', 'neigh', 'flush', 'dev', device]);
    const far = await stranger.addPod();
    for (const from of [pod, far, node]) {
      const answers = await from.ping([...pod.ips, ...far.ips]);
      expect(answers.filter((answer) => !('rttMs' in answer) || answer.rttMs === undefined)).toEqual([]);
    }
    const six = pod.ips.find((ip) => ip.includes(':')) ?? '';
    const [own] = await pod.ping([six.replace(/::?[0-9a-f]+$/, '::1')]);
    expect(own).toMatchObject({});
  });
});

describe('without the rules, the node is changed by', () => {
  beforeAll(async () => {
    await node.run(['nft', 'delete', 'table', 'inet', 'weft']);
    await node.run(['nft', 'delete', 'table', 'arp', 'weft']);
  });

  test.for(cases)(title, async ({ attack, forwards }) => {
    for (const device of DEVICES) {
      await prepare(forwards);
      const before = await state();
      await send(device, frameFor(attack, device));
      if (attack.changes(device, forwards)) {
        await waitUntil(async () => (await state()) !== before, LOOK_MS, `a change on ${device}`);
      } else {
        await new Promise((resolve) => setTimeout(resolve, ARRIVED_MS));
        expect(await state(), device).toBe(before);
      }
      await undo(device);
    }
  });

  async function undo(device: Device): Promise<void> {
    await shell(
      `ip -6 route flush dev ${device} proto ra`,
      `ip -6 route flush dev ${device} proto kernel to 2001:db8:bad::/64`,
      `ip -6 address flush dev ${device} dynamic`,
      // Deleting the route also deletes redirects that were learnt for it.
      'ip route del 198.51.100.0/24',
      'ip -6 route flush cache',
      `ip -4 neigh flush dev ${device}`,
      `ip -6 neigh flush dev ${device}`,
    );
  }
});
