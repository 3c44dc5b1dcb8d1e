import { describe, expect, test } from 'vitest';
import { ConfigError } from './errors.ts';
import { formatIp, formatPrefix } from './ip.ts';
import { parseNetConf } from './net-conf.ts';

function parse(document: unknown) {
  return parseNetConf(JSON.stringify(document));
}

function messageOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
  return 'accepted';
}

const v4 = { Network: '10.244.0.0/16' };

describe('parseNetConf', () => {
  test("reads flannel's usual document", () => {
    const { config, warnings } = parse({ ...v4, EnableNFTables: false, Backend: { Type: 'vxlan' } });
    expect(config).toMatchObject({
      enableIpv4: true,
      enableIpv6: false,
      enableNftables: false,
      ipv6Network: undefined,
      backend: { type: 'vxlan' },
    });
    expect(config.network && formatPrefix(config.network)).toBe('10.244.0.0/16');
    expect(warnings).toEqual([]);
  });

  test('D4: takes vxlan when there is no Backend, as the documentation of flannel says', () => {
    expect(parse(v4).config.backend.type).toBe('vxlan');
    expect(parse({ ...v4, Backend: null }).config.backend.type).toBe('vxlan');
  });

  test('reads every key in any case and masks host bits', () => {
    const { config, warnings } = parse({
      enableipv4: true,
      ENABLEIPV6: true,
      enablenftables: true,
      network: '10.3.7.9/16',
      ipv6network: 'fc00::9/48',
      subnetlen: 26,
      subnetmin: '10.3.1.0',
      SUBNETMAX: '10.3.9.0',
      ipv6subnetlen: 66,
      Ipv6SubnetMin: 'fc00:0:0:2::',
      ipv6SUBNETmax: 'fc00:0:0:9::',
      backend: { type: 'VXLAN' },
    });
    expect(warnings).toEqual([]);
    expect(config).toMatchObject({ enableIpv6: true, enableNftables: true });
    expect(config.network && formatPrefix(config.network)).toBe('10.3.0.0/16');
    expect(config.ipv6Network && formatPrefix(config.ipv6Network)).toBe('fc00::/48');
    expect(config.subnets.length).toBe(26);
    expect(config.subnets.min && formatIp(config.subnets.min)).toBe('10.3.1.0');
    expect(config.subnets.max && formatIp(config.subnets.max)).toBe('10.3.9.0');
    expect(config.ipv6Subnets.length).toBe(66);
    expect(config.ipv6Subnets.min && formatIp(config.ipv6Subnets.min)).toBe('fc00:0:0:2::');
    expect(config.ipv6Subnets.max && formatIp(config.ipv6Subnets.max)).toBe('fc00:0:0:9::');
    expect(config.backend.type).toBe('vxlan');
  });

  test("takes zero as Go's “not set”", () => {
    expect(parse({ ...v4, SubnetLen: 0 }).config.subnets.length).toBeUndefined();
  });

  test('leaves enableNftables undecided when the key is absent', () => {
    expect(parse(v4).config.enableNftables).toBeUndefined();
  });

  test('ignores the network of a family that is off, and says so', () => {
    const { config, warnings } = parse({ ...v4, IPv6Network: 'fc00::/48' });
    expect(config.ipv6Network).toBeUndefined();
    expect(warnings).toEqual(['net-conf: IPv6Network: ignored, because EnableIPv6 is not true']);
  });

  test('warns about unknown keys with what was probably meant', () => {
    const { warnings } = parse({ ...v4, Netwrok: '1', 'x-team': 1 });
    expect(warnings).toEqual([
      'net-conf: Netwrok: unknown key, ignored (did you mean Network?)',
      'net-conf: x-team: unknown key, ignored',
    ]);
  });

  test.for([
    {
      name: 'no Network',
      doc: {},
      want:
        'Network: please define a correct Network parameter in the flannel config: ' +
        'expected an IPv4 CIDR such as "10.244.0.0/16", but the key is missing',
    },
    {
      name: 'a Network that is misspelled',
      doc: { Netwrok: '10.244.0.0/16' },
      want:
        'Network: please define a correct Network parameter in the flannel config: ' +
        'expected an IPv4 CIDR such as "10.244.0.0/16", but the key is missing (is "Netwrok" meant to be it?)',
    },
    {
      name: 'a Network of the other family',
      doc: { Network: 'fc00::/48' },
      want: 'Network: expected an IPv4 CIDR such as "10.244.0.0/16", got "fc00::/48"',
    },
    {
      name: 'a Network that is no CIDR',
      doc: { Network: '10.244.0.0' },
      want: 'Network: expected an IPv4 CIDR such as "10.244.0.0/16", got "10.244.0.0"',
    },
    {
      name: 'a Network of the wrong type',
      doc: { Network: 10 },
      want: 'Network: expected an IPv4 CIDR such as "10.244.0.0/16", got 10',
    },
    {
      name: 'IPv6 without its network',
      doc: { ...v4, EnableIPv6: true },
      want:
        'IPv6Network: please define a correct IPv6Network parameter in the flannel config: ' +
        'expected an IPv6 CIDR such as "fd00:10:244::/56", but the key is missing',
    },
    {
      name: 'no family',
      doc: { ...v4, EnableIPv4: false },
      want: 'EnableIPv4: none defined stack: IPv4 and IPv6 are both off, expected at least one to be true',
    },
    {
      name: 'text for a boolean',
      doc: { ...v4, EnableIPv6: 'yes' },
      want: 'EnableIPv6: expected true or false, got "yes"',
    },
    {
      name: 'a SubnetLen of the wrong type',
      doc: { ...v4, SubnetLen: '24' },
      want: 'SubnetLen: expected integer 0–32, got "24"',
    },
    {
      name: 'a SubnetMin of the other family',
      doc: { ...v4, SubnetMin: 'fc00::' },
      want: 'SubnetMin: expected an IPv4 address, got "fc00::"',
    },
    {
      name: 'a Backend that is no object',
      doc: { ...v4, Backend: 'vxlan' },
      want: 'Backend: expected an object, got "vxlan"',
    },
    {
      name: 'a Type that is a number',
      doc: { ...v4, Backend: { Type: 7 } },
      want: 'Backend.Type: expected a string, got 7',
    },
    { name: 'a document that is a list', doc: [], want: 'expected an object, got []' },
  ])('refuses $name', ({ doc, want }) => {
    expect(messageOf(() => parse(doc))).toBe(`net-conf: ${want}`);
  });

  test('is not fooled by __proto__', () => {
    expect(messageOf(() => parseNetConf('{"__proto__":{"Network":"10.0.0.0/8"}}'))).toContain('the key is missing');
    const { warnings } = parseNetConf('{"Network":"10.0.0.0/8","__proto__":{"EnableIPv4":false}}');
    expect(warnings).toEqual(['net-conf: __proto__: unknown key, ignored']);
  });
});

describe('NonMasqueradeCIDRs', () => {
  test('are masked, kept in order, and of an enabled family', () => {
    const { config, warnings } = parse({ ...v4, NonMasqueradeCIDRs: ['10.1.2.3/8', 'fd00::/8', '192.168.0.0/16'] });
    expect(config.nonMasquerade.map(formatPrefix)).toEqual(['10.0.0.0/8', '192.168.0.0/16']);
    expect(warnings).toEqual(['net-conf: NonMasqueradeCIDRs: fd00::/8 ignored, because EnableIPv6 is not true']);
  });

  test.for([
    { name: 'absent', value: null, want: 'accepted' },
    { name: 'a text', value: '10.0.0.0/8', want: 'net-conf: NonMasqueradeCIDRs: expected a list, got "10.0.0.0/8"' },
    {
      name: 'a number in it',
      value: ['10.0.0.0/8', 7],
      want: 'net-conf: NonMasqueradeCIDRs[1]: expected a string, got 7',
    },
    {
      name: 'no CIDR in it',
      value: ['10.0.0.0'],
      want: 'net-conf: NonMasqueradeCIDRs[0]: expected a CIDR such as "10.0.0.0/8" or "fd00::/8", got "10.0.0.0"',
    },
  ])('$name: $want', ({ value, want }) => {
    expect(messageOf(() => parse({ ...v4, NonMasqueradeCIDRs: value }))).toBe(want);
  });
});
