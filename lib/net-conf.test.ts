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
      backend: { type: 'vxlan', vni: 1, port: 8472, mtu: undefined, learning: false, gbp: false, directRouting: false },
    });
    expect(config.network && formatPrefix(config.network)).toBe('10.244.0.0/16');
    expect(warnings).toEqual([]);
  });

  test('D4: takes vxlan when there is no Backend, as the documentation of flannel says', () => {
    expect(parse(v4).config.backend).toEqual(parse({ ...v4, Backend: { Type: 'vxlan' } }).config.backend);
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
      backend: {
        type: 'VXLAN',
        vni: 7,
        PORT: 4789,
        mtu: 9000,
        gbp: true,
        learning: true,
        directrouting: true,
        macprefix: '0E-2A',
        NAME: 'windows',
      },
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
    expect(config.backend).toEqual({
      type: 'vxlan',
      vni: 7,
      port: 4789,
      mtu: 9000,
      learning: true,
      gbp: true,
      directRouting: true,
    });
  });

  test("takes zero as Go's “not set”", () => {
    const { config } = parse({ ...v4, SubnetLen: 0, Backend: { Type: 'vxlan', Port: 0, MTU: 0 } });
    expect(config.subnets.length).toBeUndefined();
    expect(config.backend).toMatchObject({ port: 8472, mtu: undefined });
  });

  test('leaves enableNftables open when the key is absent', () => {
    expect(parse(v4).config.enableNftables).toBeUndefined();
  });

  test('ignores the network of a family that is off, and says so', () => {
    const { config, warnings } = parse({ ...v4, IPv6Network: 'fc00::/48' });
    expect(config.ipv6Network).toBeUndefined();
    expect(warnings).toEqual(['net-conf: IPv6Network: ignored, because EnableIPv6 is not true']);
  });

  test('warns about unknown keys with what was probably meant', () => {
    const { warnings } = parse({ ...v4, Netwrok: '1', 'x-team': 1, Backend: { Type: 'vxlan', Prot: 1 } });
    expect(warnings).toEqual([
      'net-conf: Netwrok: unknown key, ignored (did you mean Network?)',
      'net-conf: x-team: unknown key, ignored',
      'net-conf: Backend.Prot: unknown key, ignored (did you mean Port?)',
    ]);
  });

  test.for(['wireguard', 'ipip', 'ipsec', 'tencent-vpc'])('knows the backend %s, for the agent to refuse', (type) => {
    const { config, warnings } = parse({ ...v4, Backend: { Type: type.toUpperCase(), ListenPort: 51820 } });
    expect([config.backend, warnings]).toEqual([{ type }, []]);
  });

  test.for<{ name: string; backend: object; want: object; warnings?: string[] }>([
    { name: 'host-gw', backend: { Type: 'Host-GW' }, want: { type: 'host-gw' } },
    {
      name: 'a key that does nothing',
      backend: { Type: 'host-gw', DirectRouting: true },
      want: { type: 'host-gw' },
      warnings: ['net-conf: Backend.DirectRouting: unknown key, ignored'],
    },
    { name: 'alloc', backend: { type: 'alloc' }, want: { type: 'alloc' } },
    { name: 'udp with flannel’s port', backend: { Type: 'udp' }, want: { type: 'udp', port: 8285 } },
    { name: 'udp with another port', backend: { Type: 'udp', Port: 7890 }, want: { type: 'udp', port: 7890 } },
    {
      name: 'extension',
      backend: { Type: 'extension', SubnetAddCommand: '/opt/add $SUBNET', ShutdownCommand: ' ' },
      want: {
        type: 'extension',
        subnetAdd: { words: [[{ text: '/opt/add' }], [{ variable: 'SUBNET' }]] },
        shutdown: undefined,
      },
    },
  ])('reads $name', ({ backend, want, warnings = [] }) => {
    const { config, warnings: said } = parse({ ...v4, Backend: backend });
    expect(config.backend).toMatchObject(want);
    expect(said).toEqual(warnings);
  });

  const backends = 'one of vxlan, host-gw, udp, alloc, extension';
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
      name: 'a Backend without Type',
      doc: { ...v4, Backend: { VNI: 1 } },
      want: `Backend.Type: unknown backend type: expected ${backends}, but the key is missing`,
    },
    {
      name: 'an unknown backend',
      doc: { ...v4, Backend: { Type: 'gre' } },
      want: `Backend.Type: unknown backend type: "gre", expected ${backends}`,
    },
    {
      name: 'a VNI that is text',
      doc: { ...v4, Backend: { Type: 'vxlan', VNI: 'x' } },
      want: 'Backend.VNI: expected integer 1–16777215, got "x"',
    },
    {
      name: 'VNI 0',
      doc: { ...v4, Backend: { Type: 'vxlan', VNI: 0 } },
      want: 'Backend.VNI: expected integer 1–16777215, got 0',
    },
    {
      name: 'a VNI of 25 bits',
      doc: { ...v4, Backend: { Type: 'vxlan', VNI: 16777216 } },
      want: 'Backend.VNI: expected integer 1–16777215, got 16777216',
    },
    {
      name: 'a port out of range',
      doc: { ...v4, Backend: { Type: 'vxlan', Port: 65536 } },
      want: 'Backend.Port: expected integer 1–65535 (or 0 for 8472), got 65536',
    },
    {
      name: 'a negative port',
      doc: { ...v4, Backend: { Type: 'vxlan', Port: -1 } },
      want: 'Backend.Port: expected integer 1–65535 (or 0 for 8472), got -1',
    },
    {
      name: 'an MTU that leaves no room',
      doc: { ...v4, Backend: { Type: 'vxlan', MTU: 117 } },
      want: "Backend.MTU: expected integer 118–65535 (or 0 for the interface's), got 117",
    },
    {
      name: 'an MTU too small for IPv6',
      doc: { ...v4, EnableIPv6: true, IPv6Network: 'fc00::/48', Backend: { Type: 'vxlan', MTU: 1349 } },
      want: "Backend.MTU: expected integer 1350–65535 (or 0 for the interface's), got 1349",
    },
    {
      name: 'a fraction',
      doc: { ...v4, Backend: { Type: 'vxlan', MTU: 1450.5 } },
      want: "Backend.MTU: expected integer 118–65535 (or 0 for the interface's), got 1450.5",
    },
    {
      name: 'shell syntax in a command',
      doc: { ...v4, Backend: { Type: 'extension', SubnetAddCommand: 'read ip; ip route add $ip' } },
      want:
        'Backend.SubnetAddCommand: expected words without shell syntax, got ";" ' +
        '(no shell runs this: put it into a script and name that)',
    },
    {
      name: 'a variable the command has not',
      doc: { ...v4, Backend: { Type: 'extension', PreStartupCommand: 'echo $SUBNET' } },
      want: 'Backend.PreStartupCommand: expected no variable, got $SUBNET',
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
