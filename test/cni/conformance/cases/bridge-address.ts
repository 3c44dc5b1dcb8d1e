// Rows 62, 63, 66–70, 99–101: routes, and addresses that the bridge already has.

import type { JsonObject } from '../attachment.ts';
import { type Case, type Check, casesOf, type Row } from '../case.ts';
import { bridge, ipam, sets } from '../configs.ts';
import { same } from '../expect.ts';
import { addressesOf, routesOf } from '../observe.ts';
import type { Trial } from '../trial.ts';

/** A bridge over one subnet with these routes. */
function routed(
  trial: Trial,
  routes: readonly JsonObject[],
  keys: JsonObject = {},
  subnet = '10.1.2.0/24',
): JsonObject {
  return bridge(trial, { ipam: ipam(trial, { ranges: sets(subnet), routes }), ...keys });
}

const DEFAULT = '0.0.0.0/0';

const routes: readonly Row[] = [
  {
    id: '62',
    title: 'isDefaultGateway together with a default route without a gateway gets an error, and the address is freed',
    check: async (trial) => {
      const config = routed(trial, [{ dst: DEFAULT }], { isDefaultGateway: true });
      await trial.attachment(config).fails('ADD', { code: 999, msg: /^failed to add route .*file exists$/ });
      same(trial.addresses(), [], 'addresses reserved');
    },
  },
  {
    id: '63',
    title: 'isDefaultGateway together with a default route that has a gateway gives one default route',
    check: async (trial) => {
      const config = routed(trial, [{ dst: DEFAULT, gw: '10.1.2.1' }], { isDefaultGateway: true });
      const result = await trial.attachment(config).add();
      same(result.routes, [{ dst: DEFAULT, gw: '10.1.2.1' }], 'routes of the result');
      same(routesOf(await trial.routes(4, 'c1')), ['default via 10.1.2.1'], 'routes in the container');
    },
  },
  {
    id: '99',
    since: '1.1.0',
    title: 'a route with table and priority gets that table and that metric',
    check: async (trial) => {
      const route = { dst: '10.9.0.0/16', gw: '10.1.2.1', table: 5000, priority: 77 };
      const result = await trial.attachment(routed(trial, [route], { cniVersion: '1.1.0' })).add();
      same(result.routes, [route], 'routes of the result');
      const found = await trial.routes(4, 'c1', '5000');
      same(
        found.map(({ dst, gateway, metric }) => [dst, gateway, metric]),
        [['10.9.0.0/16', '10.1.2.1', 77]],
        'table 5000',
      );
      same(routesOf(await trial.routes(4, 'c1')), [], 'main table');
    },
  },
  {
    id: '100a',
    title: 'the kernel uses the later of two IPv4 routes to one destination',
    check: async (trial) => {
      const dst = '10.9.0.0/16';
      await trial
        .attachment(
          routed(trial, [
            { dst, gw: '10.1.2.1' },
            { dst, gw: '10.1.2.5' },
          ]),
        )
        .add();
      same(
        routesOf(await trial.routes(4, 'c1')),
        [`${dst} via 10.1.2.5`, `${dst} via 10.1.2.1`],
        'routes in the container',
      );
    },
  },
  {
    id: '100b',
    title: 'of two IPv6 routes to one destination the kernel has both gateways',
    needs: ['ipv6'],
    check: async (trial) => {
      const dst = 'fd09::/48';
      const config = routed(
        trial,
        [
          { dst, gw: 'fd00::1' },
          { dst, gw: 'fd00::5' },
        ],
        {},
        'fd00::/64',
      );
      await trial.attachment(config).add();
      const found = (await trial.routes(6, 'c1')).filter((route) => route.dst === dst);
      const ways = found.flatMap(({ gateway, nexthops }) => nexthops?.map((hop) => hop.gateway) ?? [gateway]);
      same(ways.sort(), ['fd00::1', 'fd00::5'], 'gateways');
    },
  },
  {
    id: '101',
    title: 'with enabledad duplicate address detection runs on the address, and has ended when ADD returns',
    needs: ['ipv6'],
    referenceFrom: 'main',
    check: async (trial) => {
      await trial.attachment(routed(trial, [], { enabledad: true, isGateway: true }, 'fd00::/64')).add();
      const eth0 = await trial.link('eth0', 'c1');
      same(
        eth0.addr_info.some(({ tentative }) => tentative === true),
        false,
        'whether an address is tentative',
      );
      same(await trial.sysctl('net/ipv6/conf/eth0/accept_dad', 'c1'), '1', 'accept_dad of eth0');
    },
  },
  {
    id: '92',
    title: 'an ADD that fails after IPAM frees the address',
    check: async (trial) => {
      const config = routed(trial, [{ dst: '10.9.0.0/16', gw: '192.168.77.1' }]);
      await trial.attachment(config).fails('ADD', { code: 999, msg: /^failed to add route .*network is unreachable$/ });
      same(trial.addresses(), [], 'addresses reserved');
    },
  },
];

/** A bridge that already has an address before ADD, and what must happen to it. */
interface Before {
  readonly id: string;
  readonly title: string;
  readonly has: string;
  readonly subnet?: string;
  readonly gateway?: string;
  readonly force?: boolean;
  /** The bridge's addresses after ADD. When absent, ADD must fail. */
  readonly want?: readonly string[];
}

function withAddress({ id, title, has, subnet = '10.1.2.0/24', gateway, force = false, want }: Before): Row {
  const check: Check = async (trial) => {
    await trial.sh(`ip link add cni0 type bridge && ip address add ${has} dev cni0 nodad && ip link set cni0 up`);
    const ranges = [[{ subnet, ...(gateway === undefined ? {} : { gateway }) }]];
    const pod = trial.attachment(
      bridge(trial, { isGateway: true, forceAddress: force, ipam: ipam(trial, { ranges }) }),
    );
    if (want !== undefined) {
      await pod.add();
      same(addressesOf(await trial.link('cni0')).sort(), [...want].sort(), 'addresses of cni0');
      same(addressesOf(await trial.link('eth0', 'c1')).length, 1, 'addresses of eth0');
      return;
    }
    const first = gateway ?? subnet.replace(/0\/.*|\/.*/, '1');
    const msg = `failed to set bridge addr: "cni0" already has an IP address different from ${first}/${subnet.split('/')[1]}`;
    await pod.fails('ADD', { code: 999, msg });
    same(trial.addresses(), [], 'addresses reserved');
    same(addressesOf(await trial.link('cni0')), [has], 'addresses of cni0');
  };
  return { id, title, check, ...(has.includes(':') ? { needs: ['ipv6'] as const } : {}) };
}

const before: readonly Row[] = [
  withAddress({ id: '66', title: 'a bridge that has another IPv4 address gets an error', has: '10.99.0.1/24' }),
  withAddress({
    id: '67',
    title: 'forceAddress replaces another IPv4 address of the bridge',
    has: '10.99.0.1/24',
    force: true,
    want: ['10.1.2.1/24'],
  }),
  withAddress({
    id: '68a',
    title: 'a bridge whose own address lies in a wider network that holds the gateway gets an error',
    has: '10.0.0.1/8',
    subnet: '10.1.0.0/16',
    gateway: '10.1.2.3',
  }),
  withAddress({
    id: '68b',
    title: 'forceAddress replaces an address in a wider network that holds the gateway',
    has: '10.0.0.1/8',
    subnet: '10.1.0.0/16',
    gateway: '10.1.2.3',
    force: true,
    want: ['10.1.2.3/16'],
  }),
  withAddress({
    id: '69a',
    title: 'an IPv6 address of the bridge outside of the subnet is kept',
    has: 'fd01::1/64',
    subnet: 'fd00::/64',
    want: ['fd00::1/64', 'fd01::1/64'],
  }),
  withAddress({
    id: '69b',
    title: 'another IPv6 address of the bridge in the subnet gets an error',
    has: 'fd00::9/64',
    subnet: 'fd00::/64',
    gateway: 'fd00::1',
  }),
  withAddress({
    id: '69c',
    title: 'forceAddress replaces another IPv6 address of the bridge in the subnet',
    has: 'fd00::9/64',
    subnet: 'fd00::/64',
    force: true,
    want: ['fd00::1/64'],
  }),
  withAddress({
    id: '66b',
    title: 'a bridge that already has the gateway’s address is accepted',
    has: '10.1.2.1/24',
    want: ['10.1.2.1/24'],
  }),
  {
    id: '70',
    title: 'ADD succeeds after an ADD that failed',
    differs: {
      reason: 'Weft undoes a failed ADD, and never writes back the MAC of a bridge without ports',
      reference: async (trial) => {
        await failOnce(trial);
        const msg = "failed to set bridge addr: could not set bridge's mac: invalid argument";
        await trial.attachment(bridge(trial, { isGateway: true })).fails('ADD', { code: 999, msg });
      },
    },
    check: async (trial) => {
      await failOnce(trial);
      await trial.attachment(bridge(trial, { isGateway: true })).add();
      same(addressesOf(await trial.link('cni0')), ['10.1.2.1/24'], 'addresses of cni0');
    },
  },
];

async function failOnce(trial: Trial): Promise<void> {
  const pod = trial.attachment(bridge(trial, { isGateway: true, ipam: { type: 'nope' } }));
  await pod.fails('ADD', { code: 999, msg: `failed to find plugin "nope" in path [${trial.bin}]` });
  await pod.exec('DEL');
}

export const bridgeAddressCases: readonly Case[] = casesOf('bridge', [...routes, ...before]);
