// Rows 107–119 and 137–139: which address comes next (facts: host-local allocates round robin, by creating the address's file).

import type { JsonObject } from '../attachment.ts';
import { type Case, casesOf, type Row } from '../case.ts';
import { hostLocal } from '../configs.ts';
import { same } from '../expect.ts';
import type { Trial } from '../trial.ts';

/** The content of network n1's store before ADD. */
interface Store {
  readonly taken?: readonly string[];
  /** The address that was allocated last. */
  readonly last?: string;
}

/** Fills the store as host-local itself would have done. */
export function fill(trial: Trial, { taken = [], last }: Store): void {
  for (const ip of taken) trial.write(`networks/n1/${ip}`, 'other\r\neth0', 0o600);
  if (last !== undefined) trial.write('networks/n1/last_reserved_ip.0', last, 0o600);
}

interface Given extends Store {
  readonly id: string;
  readonly title: string;
  /** The subnets of the only range set. */
  readonly subnets?: readonly string[];
  readonly want: string;
  readonly gateway?: string;
}

function gives({ id, title, subnets = ['10.0.0.0/29'], want, gateway, ...store }: Given): Row {
  return {
    id,
    title,
    check: async (trial) => {
      fill(trial, store);
      const ranges = [subnets.map((subnet) => ({ subnet }))];
      const result = await trial.attachment(hostLocal(trial, { ranges })).add();
      const [ip, ...others] = result.ips ?? [];
      same([ip?.address, others], [want, []], 'ips of the result');
      if (gateway !== undefined) same(ip?.gateway, gateway, 'gateway');
      const address = want.split('/')[0] ?? '';
      same(trial.read(`networks/n1/${address}`), 'c1\r\neth0', `content of ${address}`);
      same(trial.read('networks/n1/last_reserved_ip.0'), address, 'last address');
    },
  };
}

const PAIR = ['10.0.0.0/30', '10.0.1.0/30'];

const next: readonly Row[] = [
  gives({ id: '107', title: 'the gateway’s address is not allocated', want: '10.0.0.2/29', gateway: '10.0.0.1' }),
  gives({ id: '108', title: 'an address that is in use is skipped', taken: ['10.0.0.2'], want: '10.0.0.3/29' }),
  gives({
    id: '109',
    title: 'the next address allocated is the one after the last one allocated',
    last: '10.0.0.5',
    want: '10.0.0.6/29',
  }),
  gives({
    id: '110',
    title: 'addresses in use after the last one allocated are skipped',
    taken: ['10.0.0.4', '10.0.0.5'],
    last: '10.0.0.3',
    want: '10.0.0.6/29',
  }),
  gives({
    id: '111',
    title: 'after the last address of the range the search goes on at its first',
    taken: ['10.0.0.6'],
    last: '10.0.0.5',
    want: '10.0.0.2/29',
  }),
  gives({
    id: '112',
    title: 'a last allocated address outside of the range is ignored',
    taken: ['10.0.0.2'],
    last: '10.0.0.128',
    want: '10.0.0.3/29',
  }),
  gives({
    id: '113',
    title: 'the last allocated address is tried after all others',
    taken: ['10.0.0.2', '10.0.0.4', '10.0.0.5', '10.0.0.6'],
    last: '10.0.0.3',
    want: '10.0.0.3/29',
  }),
  gives({
    id: '114a',
    title: 'the first address is allocated from the first range of a set',
    subnets: PAIR,
    want: '10.0.0.2/30',
  }),
  gives({
    id: '114b',
    title: 'the search goes from the end of the first range to the second',
    subnets: PAIR,
    last: '10.0.0.2',
    want: '10.0.1.2/30',
    gateway: '10.0.1.1',
  }),
  gives({
    id: '115',
    title: 'the search goes from the end of the last range to the first',
    subnets: [...PAIR, '10.0.2.0/30'],
    last: '10.0.2.2',
    want: '10.0.0.2/30',
  }),
  gives({
    id: '116',
    title: 'an address is allocated from an IPv6 range',
    subnets: ['2001:db8:1::/64'],
    want: '2001:db8:1::2/64',
    gateway: '2001:db8:1::1',
  }),
];

/** Adds another container and returns the address it gets. */
async function given(trial: Trial, keys: JsonObject, container: string): Promise<string | undefined> {
  const result = await trial.attachment(hostLocal(trial, keys), { container }).add();
  return result.ips?.[0]?.address;
}

function exhausted(listed: string): { code: number; msg: string } {
  return { code: 999, msg: `failed to allocate for range 0: no IP addresses available in range set: ${listed}` };
}

function full(id: string, title: string, subnets: readonly string[], taken: readonly string[], listed: string): Row {
  return {
    id,
    title,
    check: async (trial) => {
      fill(trial, { taken });
      const ranges = [subnets.map((subnet) => ({ subnet }))];
      await trial.attachment(hostLocal(trial, { ranges })).fails('ADD', exhausted(listed));
      same(trial.addresses(), taken, 'addresses reserved');
    },
  };
}

function only(id: string, title: string, address: string): Row {
  return {
    id,
    title,
    check: async (trial) => {
      const ranges = [[{ subnet: '10.0.0.0/30', rangeStart: address, rangeEnd: address }]];
      same(await given(trial, { ranges }, 'c1'), `${address}/30`, 'address');
    },
  };
}

const edges: readonly Row[] = [
  full('117a', 'a full range gets an error that names it', ['10.0.0.0/30'], ['10.0.0.2'], '10.0.0.1-10.0.0.2'),
  full(
    '117b',
    'a set of full ranges gets an error that names all of them',
    PAIR,
    ['10.0.0.2', '10.0.1.2'],
    '10.0.0.1-10.0.0.2,10.0.1.1-10.0.1.2',
  ),
  {
    id: '118',
    title: 'every address of a range is allocated once, except those of network, gateway and broadcast',
    check: async (trial) => {
      const ranges = [[{ subnet: '10.0.0.0/29' }]];
      for (let last = 2; last <= 6; last++) {
        same(await given(trial, { ranges }, `c${last}`), `10.0.0.${last}/29`, 'address');
      }
      await trial
        .attachment(hostLocal(trial, { ranges }), { container: 'c7' })
        .fails('ADD', exhausted('10.0.0.1-10.0.0.6'));
    },
  },
  {
    id: '119',
    title: 'an address that was just freed is not the next one allocated',
    check: async (trial) => {
      const pod = trial.attachment(hostLocal(trial));
      same((await pod.add()).ips?.[0]?.address, '10.1.2.2/24', 'first address');
      await pod.del();
      same((await pod.add()).ips?.[0]?.address, '10.1.2.3/24', 'second address');
      same(trial.addresses(), ['10.1.2.3'], 'addresses reserved');
    },
  },
  only('137a', 'a range that consists of the broadcast address gives that address', '10.0.0.3'),
  only('137b', 'a range that consists of the network address gives that address', '10.0.0.0'),
  {
    id: '138',
    title: 'a gateway at the end of the range is not allocated',
    check: async (trial) => {
      const subnet = '10.1.2.0/24';
      const ranges = [[{ subnet, rangeStart: '10.1.2.253', rangeEnd: '10.1.2.254', gateway: '10.1.2.254' }]];
      same(await given(trial, { ranges }, 'c1'), '10.1.2.253/24', 'address');
      const second = trial.attachment(hostLocal(trial, { ranges }), { container: 'c2' });
      await second.fails('ADD', exhausted('10.1.2.253-10.1.2.254'));
    },
  },
  {
    id: '139',
    title: 'subnet, rangeStart, rangeEnd and gateway beside `ranges` are a range too',
    check: async (trial) => {
      const keys = {
        ranges: undefined,
        subnet: '10.1.2.0/24',
        rangeStart: '10.1.2.9',
        rangeEnd: '10.1.2.20',
        gateway: '10.1.2.200',
      };
      const result = await trial.attachment(hostLocal(trial, keys)).add();
      const [ip] = result.ips ?? [];
      same([ip?.address, ip?.gateway], ['10.1.2.9/24', '10.1.2.200'], 'address and gateway');
    },
  },
  ...[
    { id: '142a', title: 'an empty last_reserved file is ignored', last: '' },
    { id: '142b', title: 'a last_reserved file that ends in a newline is ignored', last: '10.1.2.50\n' },
  ].map(
    ({ id, title, last }): Row => ({
      id,
      title,
      check: async (trial) => {
        fill(trial, { last });
        same(await given(trial, {}, 'c1'), '10.1.2.2/24', 'address');
        same(trial.read('networks/n1/last_reserved_ip.0'), '10.1.2.2', 'last address');
      },
    }),
  ),
  { id: '145', title: 'a hundred ADDs, 16 at a time, get a hundred different addresses', check: crowd },
];

async function crowd(trial: Trial): Promise<void> {
  const names = Array.from({ length: 100 }, (_, at) => `pod${at}`);
  const addresses: (string | undefined)[] = [];
  const worker = async (): Promise<void> => {
    for (let name = names.pop(); name !== undefined; name = names.pop()) addresses.push(await given(trial, {}, name));
  };
  await Promise.all(Array.from({ length: 16 }, worker));
  same(new Set(addresses).size, 100, 'distinct addresses');
  same(trial.addresses().length, 100, 'addresses reserved');
}

export const allocateCases: readonly Case[] = casesOf('host-local', [...next, ...edges]);
