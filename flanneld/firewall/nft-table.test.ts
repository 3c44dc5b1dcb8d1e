import { describe, expect, test } from 'vitest';
import { parsePrefix } from '../../lib/ip.ts';
import type { BaseChain } from '../../lib/netfilter/base-chains.ts';
import { fingerprint, listingFingerprint, refusingChains } from './listing.ts';
import { firewallTable, type NftJson, renderTable, type Table, tableName } from './nft-table.ts';
import type { FirewallConfig } from './rules.ts';

const config: FirewallConfig = {
  family: 4,
  vni: 1,
  network: parsePrefix('10.244.0.0/16'),
  subnet: parsePrefix('10.244.1.0/24'),
  masquerade: true,
  nonMasquerade: [],
  fullyRandom: true,
  forward: true,
};

function chainTexts(table: Table, name: string): string[] | undefined {
  return table.chains.find((chain) => chain.name === name)?.rules.map(({ text }) => text);
}

describe('firewallTable', () => {
  test('has a name of its own for a second network of the node', () => {
    expect([1, 2, 4096].map(tableName)).toEqual(['weft', 'weft-2', 'weft-4096']);
    expect(firewallTable({ ...config, vni: 7 }).name).toBe('weft-7');
  });

  test('D23: masquerades as flannel’s iptables rules do, in their order', () => {
    expect(chainTexts(firewallTable(config), 'postrouting')).toEqual([
      'meta mark & 0x00004000 == 0x00004000 return',
      'ip saddr 10.244.1.0/24 ip daddr 10.244.0.0/16 return',
      'ip saddr 10.244.0.0/16 ip daddr 10.244.1.0/24 return',
      'ip saddr != 10.244.0.0/16 ip daddr 10.244.1.0/24 return',
      'ip saddr 10.244.0.0/16 ip daddr != 224.0.0.0/4 masquerade fully-random',
      'ip saddr != 10.244.0.0/16 ip daddr 10.244.0.0/16 masquerade fully-random',
    ]);
  });

  test('accepts forwarding from and to the network', () => {
    const want = ['ip saddr 10.244.0.0/16 accept', 'ip daddr 10.244.0.0/16 accept'];
    expect(chainTexts(firewallTable(config), 'forward')).toEqual(want);
  });

  test('speaks IPv6 with its own table family and multicast', () => {
    const v6 = {
      ...config,
      family: 6 as const,
      network: parsePrefix('fd00::/48'),
      subnet: parsePrefix('fd00:0:0:1::/64'),
    };
    const table = firewallTable(v6);
    expect(table.family).toBe('ip6');
    expect(chainTexts(table, 'postrouting')?.at(-2)).toBe(
      'ip6 saddr fd00::/48 ip6 daddr != ff00::/8 masquerade fully-random',
    );
  });

  test.for([
    { name: 'no masquerade', over: { masquerade: false }, want: ['forward'] },
    { name: 'no forward rules', over: { forward: false }, want: ['postrouting'] },
    { name: 'neither', over: { masquerade: false, forward: false }, want: [] },
  ])('has only the configured chains: $name', ({ over, want }) => {
    expect(firewallTable({ ...config, ...over }).chains.map(({ name }) => name)).toEqual(want);
  });

  test('does not masquerade pods’ packets to destinations that know their addresses', () => {
    const nonMasquerade = [parsePrefix('192.168.0.0/16'), parsePrefix('10.0.0.0/8')];
    expect(chainTexts(firewallTable({ ...config, nonMasquerade }), 'postrouting')?.slice(4, 7)).toEqual([
      'ip saddr 10.244.0.0/16 ip daddr 192.168.0.0/16 return',
      'ip saddr 10.244.0.0/16 ip daddr 10.0.0.0/8 return',
      'ip saddr 10.244.0.0/16 ip daddr != 224.0.0.0/4 masquerade fully-random',
    ]);
  });

  test('masquerades without random ports when the kernel does not support them', () => {
    const texts = chainTexts(firewallTable({ ...config, fullyRandom: false }), 'postrouting')?.join('\n');
    expect(texts).not.toContain('fully-random');
    expect(texts).toContain('masquerade');
  });
});

describe('renderTable', () => {
  test('replaces the table in one transaction, whether there was one or not', () => {
    const lines = renderTable(firewallTable({ ...config, masquerade: false })).split('\n');
    expect(lines).toEqual([
      'add table ip weft',
      'delete table ip weft',
      'add table ip weft',
      'add chain ip weft forward { type filter hook forward priority filter; policy accept; }',
      'add rule ip weft forward ip saddr 10.244.0.0/16 accept',
      'add rule ip weft forward ip daddr 10.244.0.0/16 accept',
      '',
    ]);
  });

  test('removes the table when nothing is wanted in it', () => {
    const script = renderTable(firewallTable({ ...config, masquerade: false, forward: false }));
    expect(script).toBe('add table ip weft\ndelete table ip weft\n');
  });
});

/** What nft 1.0.6 prints for the forward chain. */
function listing(rules: readonly NftJson[], more: readonly NftJson[] = []): string {
  const chain = { family: 'ip', table: 'weft', name: 'forward', handle: 2, type: 'filter', hook: 'forward', prio: 0 };
  return JSON.stringify({
    nftables: [
      { metainfo: { version: '1.0.6', release_name: 'Lester Gooch #5', json_schema_version: 1 } },
      { table: { family: 'ip', name: 'weft', handle: 2 } },
      { chain: { ...chain, policy: 'accept' } },
      ...more,
      ...rules.map((expr, index) => ({
        rule: { family: 'ip', table: 'weft', chain: 'forward', handle: 7 + index, expr },
      })),
    ],
  });
}

const address = (field: string, op = '=='): NftJson => ({
  match: { op, left: { payload: { protocol: 'ip', field } }, right: { prefix: { addr: '10.244.0.0', len: 16 } } },
});
const accept: NftJson = { accept: null };
const from = [address('saddr'), accept];
const to = [address('daddr'), accept];

describe('listingFingerprint', () => {
  const wanted = fingerprint(firewallTable({ ...config, masquerade: false }));

  test('equals the fingerprint of the table it lists', () => {
    expect(listingFingerprint(listing([from, to]))).toBe(wanted);
  });

  test.for([
    { name: 'a rule missing', text: listing([from]) },
    { name: 'rules in another order', text: listing([to, from]) },
    { name: 'a rule more', text: listing([from, to, [{ drop: null }]]) },
    { name: 'another operator', text: listing([[address('saddr', '!='), accept], to]) },
    {
      name: 'a foreign set',
      text: listing([from, to], [{ set: { family: 'ip', name: 'x', table: 'weft' } }]),
    },
    { name: 'another policy', text: listing([from, to]).replace('"policy":"accept"', '"policy":"drop"') },
    { name: 'another priority', text: listing([from, to]).replace('"prio":0', '"prio":5') },
    {
      name: 'another chain',
      text: listing([from, to], [{ chain: { family: 'ip', table: 'weft', name: 'x', handle: 9 } }]),
    },
  ])('differs with $name', ({ text }) => {
    expect(listingFingerprint(text)).not.toBe(wanted);
  });

  test('ignores how a newer nft writes flags and set membership', () => {
    const masquerade = (flags: NftJson): string => listing([[address('saddr', 'in'), { masquerade: { flags } }]]);
    expect(listingFingerprint(masquerade(['fully-random']))).toBe(listingFingerprint(masquerade('fully-random')));
    expect(listingFingerprint(listing([[address('saddr', 'in'), accept], to]))).toBe(wanted);
  });

  test.for(['', 'x', '{}', '{"nftables":7}', 'null'])('throws SyntaxError for %j', (text) => {
    expect(() => listingFingerprint(text)).toThrow(SyntaxError);
  });
});

describe('refusingChains', () => {
  const chain = { family: 'ip', table: 'filter', name: 'FORWARD', hook: 2, drops: true } as const;
  test.for<{ name: string; over: Partial<BaseChain>; want: string[] }>([
    { name: 'iptables’ FORWARD', over: {}, want: ['ip filter FORWARD'] },
    { name: 'one of both families', over: { family: 'inet', table: 'f', name: 'fwd' }, want: ['inet f fwd'] },
    { name: 'another policy', over: { drops: false }, want: [] },
    { name: 'another hook', over: { hook: 1 }, want: [] },
    { name: 'another family', over: { family: 'ip6' }, want: [] },
    { name: 'a hook of a device with the same number', over: { family: 'netdev' }, want: [] },
  ])('D24: $name', ({ over, want }) => {
    expect(refusingChains([{ ...chain, ...over }], 'ip')).toEqual(want);
  });
});
