// Rows 129–134, 140, 143 and 144: the store on disk, DEL and CHECK, and configurations that are refused.

import { statSync } from 'node:fs';
import type { JsonObject } from '../attachment.ts';
import { type Case, casesOf, type Row } from '../case.ts';
import { hostLocal, sets } from '../configs.ts';
import { same } from '../expect.ts';
import type { Trial } from '../trial.ts';

const LEGACY = 'networks/n1/10.1.2.50';

const store: readonly Row[] = [
  {
    id: '129',
    title: 'a second ADD for the same container and interface is refused',
    check: async (trial) => {
      const pod = trial.attachment(hostLocal(trial));
      await pod.add();
      const msg =
        'failed to allocate for range 0: 10.1.2.2 has been allocated to c1, duplicate allocation is not allowed';
      await pod.fails('ADD', { code: 999, msg });
      same(trial.addresses(), ['10.1.2.2'], 'addresses reserved');
    },
  },
  {
    id: '130',
    title: 'another interface of the same container gets another address',
    check: async (trial) => {
      const first = trial.attachment(hostLocal(trial));
      const second = first.with({ ifname: 'eth1' });
      await first.add();
      same((await second.add()).ips?.[0]?.address, '10.1.2.3/24', 'second address');
      await second.del();
      same(trial.addresses(), ['10.1.2.2'], 'addresses reserved after DEL of eth1');
    },
  },
  {
    id: '131a',
    title: 'the address files are the same as those of the reference plugin, byte for byte',
    check: fileBytes,
  },
  {
    id: '131b',
    title: 'only the owner can read the address files',
    referenceFrom: 'main',
    check: async (trial) => {
      await trial.attachment(hostLocal(trial)).add();
      const mode = (name: string): string => (statSync(trial.path('networks/n1', name)).mode & 0o777).toString(8);
      const modes = [mode('10.1.2.2'), mode('last_reserved_ip.0'), mode('')];
      same(modes, ['600', '600', '755'], 'modes of file, last and folder');
    },
  },
  {
    id: '132',
    title: 'an address file of an old release, which names the container only, is recognised',
    since: '0.4.0',
    check: async (trial) => {
      trial.write(LEGACY, 'legacy ');
      const pod = trial.attachment(hostLocal(trial), { container: 'legacy' });
      await pod.check(undefined);
      await pod.del();
      same(trial.addresses(), [], 'addresses reserved');
      await pod.fails('CHECK', { code: 999, msg: 'host-local: Failed to find address added by container legacy' });
    },
  },
  {
    id: '133',
    title: 'CHECK of an unknown container fails',
    since: '0.4.0',
    check: async (trial) => {
      const pod = trial.attachment(hostLocal(trial));
      await pod.check(await pod.add());
      const msg = 'host-local: Failed to find address added by container c9';
      await pod.with({ container: 'c9' }).fails('CHECK', { code: 999, msg });
    },
  },
  {
    id: '134',
    title: 'DEL of an unknown container succeeds and frees no other container’s address',
    check: async (trial) => {
      const pod = trial.attachment(hostLocal(trial));
      await pod.add();
      await pod.with({ container: 'c9' }).del();
      await pod.with({ ifname: 'eth9' }).del();
      same(trial.addresses(), ['10.1.2.2'], 'addresses reserved');
      await pod.del();
      same(trial.addresses(), [], 'addresses reserved');
    },
  },
  { id: '143a', title: 'the result has the nameservers of resolvConf', check: resolvConf },
  {
    id: '143b',
    title: 'a missing resolvConf makes ADD fail, and not DEL',
    check: async (trial) => {
      const resolvConfPath = trial.path('resolv.conf');
      const pod = trial.attachment(hostLocal(trial, { resolvConf: resolvConfPath }));
      await pod.fails('ADD', { code: 999, msg: `open ${resolvConfPath}: no such file or directory` });
      trial.write('resolv.conf', 'nameserver 192.0.2.3\n');
      await pod.add();
      trial.remove('resolv.conf');
      await pod.del();
      same(trial.addresses(), [], 'addresses reserved');
    },
  },
  {
    id: '144',
    title: 'DEL frees an address whose file has blanks around its content',
    check: async (trial) => {
      trial.write(LEGACY, ' c1\r\neth0 \n');
      trial.write('networks/n1/10.1.2.51', 'c2\r\neth0');
      await trial.attachment(hostLocal(trial)).del();
      same(trial.addresses(), ['10.1.2.51'], 'addresses reserved');
    },
  },
];

async function fileBytes(trial: Trial): Promise<void> {
  await trial.attachment(hostLocal(trial)).add();
  const dir = 'networks/n1';
  same(trial.read(`${dir}/10.1.2.2`), 'c1\r\neth0', 'content of 10.1.2.2');
  same(trial.read(`${dir}/last_reserved_ip.0`), '10.1.2.2', 'content of last_reserved_ip.0');
  same(trial.read(`${dir}/lock`), '', 'content of lock');
}

async function resolvConf(trial: Trial): Promise<void> {
  const lines = [
    '# a comment',
    '; another',
    'nameserver 192.0.2.3',
    'nameserver 192.0.2.4',
    'domain first.example',
    'domain example.com',
    'search one.example two.example',
    'search three.example',
    'options ndots:5 edns0',
    '',
  ];
  const path = trial.write('resolv.conf', lines.join('\n'));
  const result = await trial.attachment(hostLocal(trial, { resolvConf: path })).add();
  same(
    result.dns,
    {
      nameservers: ['192.0.2.3', '192.0.2.4'],
      domain: 'example.com',
      search: ['one.example', 'two.example', 'three.example'],
      options: ['ndots:5', 'edns0'],
    },
    'dns',
  );
}

/** A row whose `ipam` keys ADD must refuse with this message. */
function refused(id: string, title: string, ipam: JsonObject, msg: string): Row {
  return {
    id,
    title,
    check: async (trial) => {
      await trial.attachment(hostLocal(trial, ipam)).fails('ADD', { code: 999, msg });
      same(trial.addresses(), [], 'addresses reserved');
    },
  };
}

const NET = '192.0.2.0/24';

/** The same for a single range. */
function refusedRange(id: string, title: string, range: JsonObject, msg: string): Row {
  return refused(id, title, { ranges: [[range]] }, `invalid range set 0: ${msg}`);
}

const refusals: readonly Row[] = [
  {
    id: '140a',
    title: 'a configuration without ipam is refused',
    check: async (trial) => {
      const pod = trial.attachment({ ...hostLocal(trial), ipam: undefined });
      await pod.fails('ADD', { code: 999, msg: "IPAM config missing 'ipam' key" });
    },
  },
  refused('140b', 'a configuration without ranges is refused', { ranges: undefined }, 'no IP ranges specified'),
  refused('140c', 'an empty range set is refused', { ranges: [[]] }, 'invalid range set 0: empty range set'),
  refusedRange(
    '140d',
    'a subnet with host bits is refused',
    { subnet: '192.168.127.0/23' },
    'Network has host bits set. For a subnet mask of length 23 the network address is 192.168.126.0',
  ),
  refusedRange(
    '140e',
    'a subnet of /31 is refused',
    { subnet: '192.0.2.0/31' },
    'Network 192.0.2.0/31 too small to allocate from',
  ),
  refusedRange(
    '140f',
    'a rangeStart outside of the subnet is refused',
    { subnet: NET, rangeStart: '192.0.3.0' },
    `RangeStart 192.0.3.0 not in network ${NET}`,
  ),
  refusedRange(
    '140g',
    'a rangeEnd outside of the subnet is refused',
    { subnet: NET, rangeEnd: '192.0.4.0' },
    `RangeEnd 192.0.4.0 not in network ${NET}`,
  ),
  refusedRange(
    '140h',
    'a rangeStart after rangeEnd is refused',
    { subnet: NET, rangeStart: '192.0.2.50', rangeEnd: '192.0.2.40' },
    `RangeStart 192.0.2.50 not in network ${NET}`,
  ),
  refused(
    '140i',
    'a range set with both families is refused',
    { ranges: [[{ subnet: NET }, { subnet: 'fd00::/64' }]] },
    'invalid range set 0: mixed address families',
  ),
  refused(
    '140j',
    'a range set whose ranges overlap is refused',
    { ranges: [[{ subnet: NET }, { subnet: '192.0.2.128/25' }]] },
    'invalid range set 0: subnets 192.0.2.1-192.0.2.254 and 192.0.2.129-192.0.2.254 overlap',
  ),
  refused(
    '140k',
    'two range sets that overlap are refused',
    { ranges: sets(NET, '192.0.2.128/25') },
    'range set 0 overlaps with 1',
  ),
  refused(
    '140l',
    'a text that is no subnet is refused as a subnet',
    { ranges: sets('foo') },
    'invalid CIDR address: foo',
  ),
];

export const storeCases: readonly Case[] = casesOf('host-local', [...store, ...refusals]);
