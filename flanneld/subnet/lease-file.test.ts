import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ConfigError } from '../../lib/errors.ts';
import type { IpPrefix } from '../../lib/ip.ts';
import { networkOf, parseIp, parsePrefix } from '../../lib/ip.ts';
import { jsonObject, parseJson } from '../../lib/json.ts';
import { parseLeaseFile, renderLeaseFile } from './lease-file.ts';
import type { Lease } from './manager.ts';

const usual: Lease = {
  subnet: parsePrefix('10.244.1.0/24'),
  publicIp: parseIp('192.168.64.3'),
  backendType: 'vxlan',
  backendData: jsonObject({ VNI: 1, VtepMAC: 'c6:d2:32:6f:8f:44' }),
};

describe('renderLeaseFile', () => {
  test("writes flanneld's etcd value with the subnet in front", () => {
    expect(renderLeaseFile(usual)).toBe(
      [
        '{',
        '  "Subnet": "10.244.1.0/24",',
        '  "PublicIP": "192.168.64.3",',
        '  "BackendType": "vxlan",',
        '  "BackendData": {',
        '    "VNI": 1,',
        '    "VtepMAC": "c6:d2:32:6f:8f:44"',
        '  }',
        '}',
        '',
      ].join('\n'),
    );
  });
});

describe('parseLeaseFile', () => {
  test('reads keys in any case, null as absent, and ignores unknown ones', () => {
    const text =
      '{"subnet":"10.244.1.0/24","publicIp":"192.168.64.3","PublicIPv6":null,"x":1,"__proto__":{"Subnet":"1.0.0.0/8"},' +
      '"backendtype":"vxlan","BackendData":{"VNI":1,"VtepMAC":"c6:d2:32:6f:8f:44"}}';
    expect(parseLeaseFile('node-1.json', text)).toEqual(usual);
  });

  test('keeps any backend data unchanged: the data plane judges it', () => {
    const read = (data: string) =>
      parseLeaseFile('n.json', `{"Subnet":"10.1.0.0/24","BackendData":${data}}`).backendData;
    expect(read('"text"')).toBe('text');
    expect(read('[1]')).toEqual([1]);
    expect(read('null')).toBeUndefined();
  });

  test.for([
    { text: '', want: /^n\.json: invalid JSON: / },
    { text: '{"Subnet":"10.244.1.0/24"', want: /^n\.json: invalid JSON: / },
    { text: '[]', want: /^n\.json: expected an object, got \[\]$/ },
    { text: '{}', want: /^n\.json: has neither Subnet nor IPv6Subnet$/ },
    { text: '{"__proto__":{"Subnet":"10.1.0.0/24"}}', want: /^n\.json: has neither Subnet nor IPv6Subnet$/ },
    {
      text: '{"Subnet":"10.244.1.1/24"}',
      want: /^n\.json: Subnet: expected an IPv4 subnet such as "10\.244\.1\.0\/24", got "10\.244\.1\.1\/24"$/,
    },
    { text: '{"Subnet":"fd00::/64"}', want: /^n\.json: Subnet: expected an IPv4 subnet/ },
    { text: '{"Subnet":7}', want: /^n\.json: Subnet: expected an IPv4 subnet such as "10\.244\.1\.0\/24", got 7$/ },
    { text: '{"IPv6Subnet":"10.0.0.0/8"}', want: /^n\.json: IPv6Subnet: expected an IPv6 subnet/ },
    {
      text: '{"Subnet":"10.1.0.0/24","PublicIP":"fd00::1"}',
      want: /^n\.json: PublicIP: expected an IPv4 address, got "fd00::1"$/,
    },
    {
      text: '{"Subnet":"10.1.0.0/24","PublicIPv6":["x"]}',
      want: /^n\.json: PublicIPv6: expected an IPv6 address, got a list$/,
    },
    { text: '{"Subnet":"10.1.0.0/24","BackendType":{}}', want: /^n\.json: BackendType: expected a string, got \{\}$/ },
    {
      text: `{"Subnet":"10.1.0.0/24","BackendData":${'['.repeat(10_000)}${']'.repeat(10_000)}}`,
      want: /nested deeper than 128 levels$/,
    },
    {
      text: '{"Subnet":"10.1.0.0/24","BackendData":{"VNI":99999999999999999999}}',
      want: /^n\.json: BackendData\.VNI: the number is beyond 2\^53/,
    },
  ])('refuses $want', ({ text, want }) => {
    expect(() => parseLeaseFile('n.json', text)).toThrow(ConfigError);
    expect(() => parseLeaseFile('n.json', text)).toThrow(want);
  });

  const arbitrary4 = fc
    .tuple(fc.nat(0xffffffff), fc.integer({ min: 8, max: 30 }))
    .map(([value, length]): IpPrefix => networkOf({ ip: { family: 4, value: BigInt(value) }, length }));
  const arbitrary6 = fc
    .tuple(fc.bigInt({ min: 0n, max: (1n << 128n) - 1n }), fc.integer({ min: 16, max: 126 }))
    .map(([value, length]): IpPrefix => networkOf({ ip: { family: 6, value }, length }));
  const data = fc
    .jsonValue({ maxDepth: 2 })
    .filter((value) => value !== null && !/\d{16}|e\+?\d\d/.test(JSON.stringify(value)));

  test('inverts renderLeaseFile for every lease', () => {
    fc.assert(
      fc.property(
        arbitrary4,
        arbitrary6,
        data,
        fc.nat(15),
        fc.string(),
        (subnet, ipv6Subnet, raw, shape, backendType) => {
          const value = parseJson(JSON.stringify(raw));
          const lease: Lease = {
            backendType,
            ...(shape & 1 ? { ipv6Subnet } : { subnet }),
            ...(shape & 2 && { publicIp: subnet.ip }),
            ...(shape & 4 && { publicIpv6: ipv6Subnet.ip }),
            ...(shape & 8 && { backendData: value, backendV6Data: value, moveData: value }),
          };
          expect(parseLeaseFile('n.json', renderLeaseFile(lease))).toEqual(lease);
        },
      ),
    );
  });
});
