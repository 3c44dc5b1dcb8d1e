// Rows 54–65 and 71–73: the bridge, the port and the container's interface that ADD makes.

import type { JsonObject } from '../attachment.ts';
import { type Case, casesOf, type Row } from '../case.ts';
import { bridge, ipam, layer2, sets } from '../configs.ts';
import { holds, present, same, sameText } from '../expect.ts';
import { addressesOf, isUp, routesOf } from '../observe.ts';
import type { Trial } from '../trial.ts';

const V6 = '2001:db8::/64';
const DUAL = ['192.168.0.0/24', 'fd00::/64'] as const;

/** A `bridge` configuration with a range set for each of these subnets. */
function over(trial: Trial, subnets: readonly string[], keys: JsonObject = {}): JsonObject {
  return bridge(trial, { ipam: ipam(trial, { ranges: sets(...subnets) }), ...keys });
}

const gateways: readonly Row[] = [
  {
    id: '54a',
    title: 'with isGateway the bridge has the gateway’s address, and the container its own',
    check: gateway4,
  },
  {
    id: '54b',
    title: 'the result names the bridge and both ends of the veth pair as the kernel has them',
    check: interfaces,
  },
  {
    id: '54c',
    title: 'the host’s end of the veth pair is up, has no queue and is a port of the bridge',
    check: async (trial) => {
      await trial.attachment(bridge(trial)).add();
      const [name = ''] = await trial.ports();
      const end = await trial.link(name);
      same([end.operstate, end.qdisc, end.master], ['UP', 'noqueue', 'cni0'], 'state, qdisc and master');
      sameText(name, /^veth[0-9a-z]+$/, 'name of the host end');
      holds(end.flags.includes('UP'), `${name} is not up`);
    },
  },
  {
    id: '55a',
    title: 'with isGateway and an IPv6 range the bridge has the IPv6 gateway’s address',
    needs: ['ipv6'],
    check: gateway6,
  },
  {
    id: '55b',
    title:
      'a container gets a usable IPv6 address although IPv6 is off there, and keeps it when its interface goes down',
    needs: ['ipv6'],
    referenceFrom: 'main',
    check: async (trial) => {
      await trial.sh('echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6', 'c1');
      await trial.attachment(over(trial, [V6], { isGateway: true })).add();
      same(await trial.sysctl('net/ipv6/conf/eth0/keep_addr_on_down', 'c1'), '1', 'keep_addr_on_down of eth0');
      same(await trial.sysctl('net/ipv6/conf/eth0/disable_ipv6', 'c1'), '0', 'disable_ipv6 of eth0');
    },
  },
  {
    id: '56',
    title: 'a range of each family gives the container two addresses and two default routes',
    needs: ['ipv6'],
    check: async (trial) => {
      const result = await trial.attachment(over(trial, DUAL, { isDefaultGateway: true })).add();
      same(
        result.ips?.map(({ interface: index }) => index),
        [2, 2],
        'ips[].interface',
      );
      same(addressesOf(await trial.link('cni0')), ['192.168.0.1/24', 'fd00::1/64'], 'addresses of cni0');
      same(addressesOf(await trial.link('eth0', 'c1')), ['192.168.0.2/24', 'fd00::2/64'], 'addresses of eth0');
      same(routesOf(await trial.routes(4, 'c1')), ['default via 192.168.0.1'], 'IPv4 routes');
      same(routesOf(await trial.routes(6, 'c1')), ['default via fd00::1'], 'IPv6 routes');
    },
  },
  {
    id: '57a',
    title: 'two IPv4 ranges with a gateway each are refused, because the bridge has one gateway',
    check: async (trial) => {
      const subnets = ['10.1.2.0/24', '10.1.3.0/24', V6];
      const msg = 'failed to set bridge addr: "cni0" already has an IP address different from 10.1.3.1/24';
      await trial.attachment(over(trial, subnets, { isGateway: true })).fails('ADD', { code: 999, msg });
      same(trial.addresses(), [], 'addresses reserved');
    },
  },
  {
    id: '57b',
    title: 'with forceAddress the bridge keeps the last of two IPv4 gateways',
    needs: ['ipv6'],
    check: async (trial) => {
      const subnets = ['10.1.2.0/24', '10.1.3.0/24', V6];
      await trial.attachment(over(trial, subnets, { isGateway: true, forceAddress: true })).add();
      same(addressesOf(await trial.link('cni0')), ['10.1.3.1/24', '2001:db8::1/64'], 'addresses of cni0');
      const wanted = ['10.1.2.2/24', '10.1.3.2/24', '2001:db8::2/64'];
      same(addressesOf(await trial.link('eth0', 'c1')), wanted, 'addresses of eth0');
    },
  },
  {
    id: '57c',
    since: '0.2.0',
    title: 'two IPv4 addresses are refused with cniVersion 0.2.0, whose result has room for one',
    check: async (trial) => {
      const config = over(trial, ['10.1.2.0/24', '10.1.3.0/24'], { cniVersion: '0.2.0' });
      const msg = 'CNI version 0.2.0 does not support more than 1 address per family';
      await trial.attachment(config).fails('ADD', { code: 999, msg });
      same(trial.addresses(), [], 'addresses reserved');
    },
  },
  {
    id: '61',
    title: 'with isDefaultGateway the result and the kernel have a default route',
    check: async (trial) => {
      const result = await trial.attachment(bridge(trial, { isDefaultGateway: true })).add();
      same(result.routes, [{ dst: '0.0.0.0/0', gw: '10.1.2.1' }], 'routes of the result');
      same(routesOf(await trial.routes(4, 'c1')), ['default via 10.1.2.1'], 'routes in the container');
      same(addressesOf(await trial.link('cni0')), ['10.1.2.1/24'], 'addresses of cni0');
    },
  },
];

async function gateway4(trial: Trial): Promise<void> {
  await trial.sh('echo 0 > /proc/sys/net/ipv4/ip_forward');
  const result = await trial.attachment(bridge(trial, { isGateway: true })).add();
  same(result.ips?.[0], { ...result.ips?.[0], address: '10.1.2.2/24', gateway: '10.1.2.1', interface: 2 }, 'ips[0]');
  same(addressesOf(await trial.link('cni0')), ['10.1.2.1/24'], 'addresses of cni0');
  const eth0 = await trial.link('eth0', 'c1');
  same(addressesOf(eth0), ['10.1.2.2/24'], 'addresses of eth0');
  same(eth0.addr_info.find(({ family }) => family === 'inet')?.broadcast, '10.1.2.255', 'broadcast of eth0');
  holds(isUp(eth0), 'eth0 is not up');
  same(await trial.sysctl('net/ipv4/ip_forward'), '1', 'ip_forward');
}

async function interfaces(trial: Trial): Promise<void> {
  const result = await trial.attachment(bridge(trial, { isGateway: true })).add();
  const [first, second, third, ...more] = result.interfaces ?? [];
  same(more, [], 'further interfaces');
  const port = present((await trial.ports())[0], 'port of cni0');
  same(
    [first?.name, first?.mac, first?.sandbox],
    ['cni0', (await trial.link('cni0')).address, undefined],
    'interfaces[0]',
  );
  same(
    [second?.name, second?.mac, second?.sandbox],
    [port, (await trial.link(port)).address, undefined],
    'interfaces[1]',
  );
  const eth0 = await trial.link('eth0', 'c1');
  same([third?.name, third?.mac, third?.sandbox], ['eth0', eth0.address, '/run/netns/c1'], 'interfaces[2]');
}

async function gateway6(trial: Trial): Promise<void> {
  await trial.sh('echo 0 > /proc/sys/net/ipv6/conf/all/forwarding');
  await trial.attachment(over(trial, [V6], { isGateway: true })).add();
  same(addressesOf(await trial.link('cni0')), ['2001:db8::1/64'], 'addresses of cni0');
  const eth0 = await trial.link('eth0', 'c1');
  same(addressesOf(eth0), ['2001:db8::2/64'], 'addresses of eth0');
  same(
    eth0.addr_info.some(({ tentative }) => tentative === true),
    false,
    'whether an address is tentative',
  );
  same(await trial.sysctl('net/ipv6/conf/all/forwarding'), '1', 'all.forwarding');
}

/** Keys that change the settings of the bridge port, and what to check afterwards. */
const ports: readonly Row[] = [
  ...(
    [
      ['58a', { hairpinMode: true }, [true, false]],
      ['58b', { hairpinMode: false }, [false, false]],
      ['58c', { portIsolation: true }, [false, true]],
      ['58d', { hairpinMode: true, portIsolation: true }, [true, true]],
    ] as const
  ).map(
    ([id, keys, want]): Row => ({
      id,
      title: `${JSON.stringify(keys)} sets hairpin mode and isolation of the port`,
      ...('portIsolation' in keys ? { referenceFrom: 'main' } : {}),
      check: async (trial) => {
        await trial.attachment(bridge(trial, keys)).add();
        const port = await trial.bridgePort((await trial.ports())[0] ?? '');
        same([port.hairpin, port.isolated], want, 'hairpin and isolated');
      },
    }),
  ),
  {
    id: '59',
    title: 'promiscMode makes the bridge promiscuous',
    check: async (trial) => {
      await trial.attachment(bridge(trial, { promiscMode: true })).add();
      const link = await trial.link('cni0');
      holds(link.flags.includes('PROMISC'), 'cni0 is not PROMISC');
      same(link.promiscuity, 1, 'promiscuity of cni0');
    },
  },
  {
    id: '60',
    title: 'the bridge and both ends of the veth pair have the configured mtu',
    check: async (trial) => {
      await trial.attachment(bridge(trial, { mtu: 1400 })).add();
      const [port = ''] = await trial.ports();
      const mtus = [await trial.link('cni0'), await trial.link(port), await trial.link('eth0', 'c1')].map(
        ({ mtu }) => mtu,
      );
      same(mtus, [1400, 1400, 1400], 'MTU of cni0, host end and eth0');
    },
  },
  {
    id: '64',
    title: 'an existing bridge is used',
    check: async (trial) => {
      await trial.sh('ip link add cni0 type bridge');
      const { ifindex } = await trial.link('cni0');
      await trial.attachment(bridge(trial, { isGateway: true })).add();
      const link = await trial.link('cni0');
      same([link.ifindex, link.flags.includes('UP')], [ifindex, true], 'index of cni0, and whether it is up');
      same((await trial.ports()).length, 1, 'ports of cni0');
    },
  },
  {
    id: '65',
    title: 'a device that has the bridge’s name and is no bridge is refused',
    check: async (trial) => {
      await trial.sh('ip link add cni0 type veth peer name other0');
      const msg = 'failed to create bridge "cni0": "cni0" already exists but is not a bridge';
      await trial.attachment(bridge(trial)).fails('ADD', { code: 999, msg });
      same((await trial.link('cni0')).linkinfo?.info_kind, 'veth', 'kind of cni0');
    },
  },
];

/** The MACs that three places of a request ask for, the one with the lowest priority first. */
const MACS = ['c2:11:22:33:44:51', 'c2:11:22:33:44:52', 'c2:11:22:33:44:53'] as const;

const macs: readonly Row[] = [
  {
    id: '71',
    title: 'the bridge keeps its MAC when its first port is removed',
    check: async (trial) => {
      const first = trial.attachment(bridge(trial, { isGateway: true }));
      await first.add();
      const { address } = await trial.link('cni0');
      await first.with({ container: 'c2', netns: await trial.container('c2') }).add();
      await first.del();
      same((await trial.ports()).length, 1, 'ports of cni0');
      same((await trial.link('cni0')).address, address, 'MAC of cni0');
    },
  },
  ...[1, 2, 3].map(
    (places): Row => ({
      id: `72${'abc'[places - 1]}`,
      title: `the container’s MAC is taken from ${['CNI_ARGS', 'args.cni rather than CNI_ARGS', 'runtimeConfig rather than args.cni'][places - 1]}`,
      check: async (trial) => {
        const keys = {
          ...(places > 1 ? { args: { cni: { mac: MACS[1] } } } : {}),
          ...(places > 2 ? { runtimeConfig: { mac: MACS[2] } } : {}),
        };
        const args = `IgnoreUnknown=1;MAC=${MACS[0]}`;
        await trial.attachment(layer2(trial, keys), { args }).add();
        same((await trial.link('eth0', 'c1')).address, MACS[places - 1], 'MAC of eth0');
      },
    }),
  ),
  {
    id: '73',
    title: 'a text that is no MAC is refused as the container’s MAC',
    check: async (trial) => {
      const pod = trial.attachment(layer2(trial, { runtimeConfig: { mac: 'zz' } }));
      await pod.fails('ADD', { code: 999, msg: 'failed to make veth pair: address zz: invalid MAC address' });
      same(await trial.findLink('eth0', 'c1'), undefined, 'eth0');
    },
  },
];

export const bridgeAddCases: readonly Case[] = casesOf('bridge', [...gateways, ...ports, ...macs]);
