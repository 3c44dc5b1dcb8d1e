// Rows 120–128, 135, 136 and 141: requests for specific addresses, and several range sets.

import type { JsonObject } from '../attachment.ts';
import { type Case, casesOf, type Row } from '../case.ts';
import { hostLocal, sets } from '../configs.ts';
import { same } from '../expect.ts';
import type { Trial } from '../trial.ts';
import { fill } from './host-local-allocate.ts';

/** A request for addresses, and the addresses that it must give. */
interface Asked {
  readonly id: string;
  readonly title: string;
  readonly args?: string;
  readonly ipam?: JsonObject;
  readonly keys?: JsonObject;
  readonly want: readonly string[];
}

function asks({ id, title, args, ipam, keys, want }: Asked): Row {
  return {
    id,
    title,
    check: async (trial) => {
      const config = { ...hostLocal(trial, ipam), ...keys };
      const result = await trial.attachment(config, args === undefined ? {} : { args }).add();
      same(
        result.ips?.map(({ address }) => address),
        want,
        'ips of the result',
      );
      const reserved = want.map((address) => address.split('/')[0]);
      same(trial.addresses(), [...reserved].sort(), 'addresses reserved');
      same(trial.read('networks/n1/last_reserved_ip.0'), reserved[0], 'last address');
    },
  };
}

function refuses(id: string, title: string, args: string, msg: string, range: JsonObject = {}): Row {
  return {
    id,
    title,
    check: async (trial) => {
      const ranges = [[{ subnet: '10.1.2.0/24', ...range }]];
      await trial.attachment(hostLocal(trial, { ranges }), { args }).fails('ADD', { code: 999, msg });
      same(trial.addresses(), [], 'addresses reserved');
    },
  };
}

const MIDDLE = { rangeStart: '10.1.2.100', rangeEnd: '10.1.2.150' };

const rows: readonly Row[] = [
  asks({
    id: '120',
    title: 'the address of IP in CNI_ARGS is allocated',
    args: 'IP=10.1.2.88',
    want: ['10.1.2.88/24'],
  }),
  {
    id: '121',
    title: 'a requested address that is in use is refused, even to its holder',
    check: async (trial) => {
      const pod = trial.attachment(hostLocal(trial), { args: 'IP=10.1.2.88' });
      await pod.add();
      const msg =
        'failed to allocate for range 0: requested IP address 10.1.2.88 is not available in range set 10.1.2.1-10.1.2.254';
      await pod.fails('ADD', { code: 999, msg });
      same(trial.addresses(), ['10.1.2.88'], 'addresses reserved');
    },
  },
  {
    id: '122',
    title: 'a container that requests a second address gets it',
    check: async (trial) => {
      const pod = trial.attachment(hostLocal(trial), { args: 'IP=10.1.2.88' });
      await pod.add();
      const second = await pod.with({ args: 'IP=10.1.2.89' }).add();
      same(second.ips?.[0]?.address, '10.1.2.89/24', 'second address');
      await pod.del();
      same(trial.addresses(), [], 'addresses reserved after DEL');
    },
  },
  refuses(
    '123a',
    'a request for the gateway’s address is refused',
    'IP=10.1.2.1',
    "failed to allocate for range 0: requested ip 10.1.2.1 is subnet's gateway",
  ),
  refuses(
    '123b',
    'a request for an address outside of the ranges is refused',
    'IP=10.9.9.9',
    'failed to allocate all requested IPs: 10.9.9.9',
  ),
  refuses(
    '123c',
    'an IP in CNI_ARGS that is no address is refused',
    'IP=foo',
    'ARGS: error parsing value of pair "IP=foo": invalid IP address foo',
  ),
  asks({
    id: '124',
    title: 'an IP in CNI_ARGS may have a prefix length',
    args: 'IP=10.1.2.90/24',
    want: ['10.1.2.90/24'],
  }),
  refuses(
    '125a',
    'a request for an address above rangeEnd is refused',
    'IP=10.1.2.200',
    'failed to allocate all requested IPs: 10.1.2.200',
    MIDDLE,
  ),
  refuses(
    '125b',
    'a request for an address below rangeStart is refused',
    'IP=10.1.2.20',
    'failed to allocate all requested IPs: 10.1.2.20',
    MIDDLE,
  ),
  asks({
    id: '126',
    title: 'each of two range sets gives its address of runtimeConfig.ips',
    ipam: { ranges: sets('10.1.2.0/24', '10.1.3.0/24') },
    keys: { runtimeConfig: { ips: ['10.1.3.7/24', '10.1.2.9'] } },
    want: ['10.1.2.9/24', '10.1.3.7/24'],
  }),
  asks({
    id: '127',
    title: 'the address of args.cni.ips is allocated',
    keys: { args: { cni: { ips: ['10.1.2.66'] } } },
    want: ['10.1.2.66/24'],
  }),
  asks({
    id: '128',
    title: 'the ranges of runtimeConfig.ipRanges come before the configured ones',
    keys: { runtimeConfig: { ipRanges: [[{ subnet: '10.7.7.0/24' }]] } },
    want: ['10.7.7.2/24', '10.1.2.2/24'],
  }),
  asks({
    id: '128b',
    title: 'runtimeConfig is read with capitalised keys, as containerd sends it',
    keys: { runtimeConfig: { ipRanges: [[{ Subnet: '10.7.7.0/24', RangeStart: '10.7.7.9' }]] } },
    want: ['10.7.7.9/24', '10.1.2.2/24'],
  }),
  {
    id: '135',
    title: 'two range sets give two addresses and the configured routes, and each remembers its last address',
    check: twoSets,
  },
  {
    id: '136',
    title: 'when the second range set is full, the address of the first is freed',
    check: async (trial) => {
      fill(trial, { taken: ['10.0.0.2'] });
      const ranges = sets('10.1.2.0/24', '10.0.0.0/30');
      const msg = 'failed to allocate for range 1: no IP addresses available in range set: 10.0.0.1-10.0.0.2';
      await trial.attachment(hostLocal(trial, { ranges })).fails('ADD', { code: 999, msg });
      same(trial.addresses(), ['10.0.0.2'], 'addresses reserved');
    },
  },
  {
    id: '141a',
    title: 'two addresses of one family are refused with cniVersion 0.2.0, whose result has room for one',
    since: '0.2.0',
    check: async (trial) => {
      const config = { ...hostLocal(trial, { ranges: sets('10.1.2.0/24', '10.1.3.0/24') }), cniVersion: '0.2.0' };
      const msg = 'CNI version 0.2.0 does not support more than 1 address per family';
      await trial.attachment(config).fails('ADD', { code: 999, msg });
      same(trial.addresses(), [], 'addresses reserved');
    },
  },
  {
    id: '141b',
    title: 'one address of each family is accepted with cniVersion 0.2.0',
    since: '0.2.0',
    check: async (trial) => {
      const config = { ...hostLocal(trial, { ranges: sets('10.1.2.0/24', 'fd00::/64') }), cniVersion: '0.2.0' };
      const { ip4, ip6 } = await trial.attachment(config).add();
      same([ip4?.ip, ip6?.ip], ['10.1.2.2/24', 'fd00::2/64'], 'ip4 and ip6');
    },
  },
];

async function twoSets(trial: Trial): Promise<void> {
  const routes = [{ dst: '10.9.0.0/16' }, { dst: 'fd09::/48', gw: 'fd00::1' }];
  const result = await trial.attachment(hostLocal(trial, { ranges: sets('10.1.2.0/24', 'fd00::/64'), routes })).add();
  same(
    result.ips?.map(({ address, gateway }) => [address, gateway]),
    [
      ['10.1.2.2/24', '10.1.2.1'],
      ['fd00::2/64', 'fd00::1'],
    ],
    'ips',
  );
  same(result.routes, routes, 'routes');
  const last = [0, 1].map((set) => trial.read(`networks/n1/last_reserved_ip.${set}`));
  same(last, ['10.1.2.2', 'fd00::2'], 'last addresses');
}

export const requestCases: readonly Case[] = casesOf('host-local', rows);
