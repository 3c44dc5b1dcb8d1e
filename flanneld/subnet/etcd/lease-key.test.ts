import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatPrefix, networkOf, parseIp, parsePrefix } from '../../../lib/ip.ts';
import { jsonObject } from '../../../lib/json.ts';
import { formatLeaseKey, parseLeaseEntry, parseLeaseKey, renderLeaseValue } from './lease-key.ts';

const data = jsonObject({ VNI: 1, VtepMAC: 'c6:d2:32:6f:8f:44' });

describe('keys', () => {
  test.for([
    { key: '10.12.13.0-24', want: ['10.12.13.0/24', undefined] },
    { key: '10.12.13.0-24&fd00:12:13::-56', want: ['10.12.13.0/24', 'fd00:12:13::/56'] },
    { key: '0.0.0.0-0&fd00:12:13::-56', want: [undefined, 'fd00:12:13::/56'] },
    { key: '10.12.13.2-31', want: ['10.12.13.2/31', undefined] },
  ])('$key', ({ key, want }) => {
    const { subnet, ipv6Subnet } = parseLeaseKey(key);
    expect([subnet && formatPrefix(subnet), ipv6Subnet && formatPrefix(ipv6Subnet)]).toEqual(want);
    expect(formatLeaseKey(parseLeaseKey(key))).toBe(key);
  });

  test.for([
    '10',
    '10.12.13.0',
    '10.12.13-24',
    '300.12.13.0-24',
    '10.12.13.0-24hi',
    '10.12.13.0-24 ',
    '10.12.13.0-32',
    '10.12.13.1-24',
    '10.12.13.0-024x',
    '10.12.13.0-24&',
    '10.12.13.0-24&fd00::-128',
    '10.12.13.0-24&fd00::1-64',
    '10.12.13.0-24&10.1.0.0-24',
    'fd00:12:13::-56',
    '10.12.13.0-24&fd00::-64&fd01::-64',
    '0.0.0.0-0',
    '../config',
    '',
  ])('%j is none', (key) => {
    expect(() => parseLeaseKey(key)).toThrow(/^etcd: key .* is no lease, expected a subnet such as 10\.12\.13\.0-24/);
  });

  test('any subnets are read back as they were written', () => {
    const subnet = fc.tuple(fc.nat(2 ** 32 - 1), fc.integer({ min: 1, max: 31 })).map(([value, length]) => {
      return networkOf({ ip: { family: 4, value: BigInt(value) }, length });
    });
    const ipv6Subnet = fc
      .tuple(fc.bigInt({ min: 0n, max: 2n ** 128n - 1n }), fc.integer({ min: 0, max: 127 }))
      .map(([value, length]) => networkOf({ ip: { family: 6, value }, length }));
    fc.assert(
      fc.property(subnet, fc.option(ipv6Subnet, { nil: undefined }), (v4, v6) => {
        const subnets = { subnet: v4, ...(v6 && { ipv6Subnet: v6 }) };
        expect(parseLeaseKey(formatLeaseKey(subnets))).toEqual(subnets);
      }),
    );
  });
});

describe('values', () => {
  test.for([
    {
      name: 'IPv4',
      lease: { backendType: 'vxlan', publicIp: parseIp('192.168.64.3'), backendData: data },
      want: '{"PublicIP":"192.168.64.3","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"c6:d2:32:6f:8f:44"}}',
    },
    {
      name: 'IPv6-only',
      lease: { backendType: 'vxlan', publicIpv6: parseIp('fd00::3'), backendV6Data: data },
      want: '{"PublicIP":"0.0.0.0","PublicIPv6":"fd00::3","BackendType":"vxlan","BackendV6Data":{"VNI":1,"VtepMAC":"c6:d2:32:6f:8f:44"}}',
    },
    {
      name: 'a backend without type or data',
      lease: { backendType: '', publicIp: parseIp('192.168.64.3') },
      want: '{"PublicIP":"192.168.64.3","PublicIPv6":null}',
    },
  ])('are flannel’s, byte for byte: $name', ({ lease, want }) => {
    expect(renderLeaseValue(lease)).toBe(want);
    expect(parseLeaseEntry('10.5.1.0-24', want)).toEqual({ ...lease, subnet: parsePrefix('10.5.1.0/24') });
  });

  test.for([
    { name: 'no JSON', value: '{', want: '10.5.1.0-24: invalid JSON' },
    { name: 'another type', value: '[]', want: '10.5.1.0-24: expected an object, got []' },
    {
      name: 'an address that is none',
      value: '{"PublicIP":"1.2.3.4; reboot"}',
      want: '10.5.1.0-24: PublicIP: expected an IPv4 address, got "1.2.3.4; reboot"',
    },
    { name: 'too much', value: `"${'x'.repeat(70_000)}"`, want: '10.5.1.0-24: is larger than 65536 bytes' },
  ])('are read strictly: $name', ({ value, want }) => {
    expect(() => parseLeaseEntry('10.5.1.0-24', value)).toThrow(want);
  });
});
