import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { IpPrefix } from './ip.ts';
import { formatPrefix, networkOf, parsePrefix } from './ip.ts';
import type { SubnetEnvContent } from './subnet-env.ts';
import { parseSubnetEnv, renderSubnetEnv, SubnetEnvError, writeSubnetEnv } from './subnet-env.ts';
import { openKoffiSyscalls } from './sys/koffi.ts';

const file = '/run/flannel/subnet.env';

const usual = [
  'FLANNEL_NETWORK=10.244.0.0/16',
  'FLANNEL_SUBNET=10.244.1.1/24',
  'FLANNEL_MTU=1450',
  'FLANNEL_IPMASQ=true',
  '',
].join('\n');

function without(key: string): string {
  return usual
    .split('\n')
    .filter((line) => !line.startsWith(key))
    .join('\n');
}

function messageOf(text: string): string {
  try {
    parseSubnetEnv(text, file);
  } catch (error) {
    if (error instanceof SubnetEnvError) return error.message;
    throw error;
  }
  return 'accepted';
}

describe('parseSubnetEnv', () => {
  test("reads flannel's file", () => {
    const env = parseSubnetEnv(usual, file);
    expect(env.networks.map(formatPrefix)).toEqual(['10.244.0.0/16']);
    expect(env.subnet && formatPrefix(env.subnet)).toBe('10.244.1.1/24');
    expect(env).toMatchObject({ ipv6Networks: [], ipv6Subnet: undefined, mtu: 1450, ipMasq: true });
  });

  test('reads IPv6 alone', () => {
    const text =
      'FLANNEL_IPV6_NETWORK=fc00::/48\nFLANNEL_IPV6_SUBNET=fc00::1/64\nFLANNEL_MTU=1430\nFLANNEL_IPMASQ=false';
    const env = parseSubnetEnv(text, file);
    expect(env.ipv6Networks.map(formatPrefix)).toEqual(['fc00::/48']);
    expect(env.ipv6Subnet && formatPrefix(env.ipv6Subnet)).toBe('fc00::1/64');
    expect(env).toMatchObject({ networks: [], subnet: undefined, mtu: 1430, ipMasq: false });
  });

  test('reads several networks in order, without duplicates, host bits cleared', () => {
    const env = parseSubnetEnv(usual.replace('10.244.0.0/16', '10.9.0.0/16,10.244.0.0/16, 10.9.1.2/16'), file);
    expect(env.networks.map(formatPrefix)).toEqual(['10.9.0.0/16', '10.244.0.0/16']);
  });

  test('ignores comments, blank lines, unknown keys and lines without value, takes CRLF and the last of a key', () => {
    const text = `# c\r\n\r\nFOO=bar\nwhatever\nFLANNEL_MTUX=1\nFLANNEL_MTU=9\n${usual.replaceAll('\n', '\r\n')}`;
    expect(parseSubnetEnv(text, file)).toEqual(parseSubnetEnv(usual, file));
  });

  test.for([
    { value: 'true', want: true },
    { value: 'false', want: false },
    { value: 'True', want: false },
    { value: '1', want: false },
    { value: '', want: false },
    { value: 'true=', want: false },
  ])('FLANNEL_IPMASQ=$value means $want', ({ value, want }) => {
    expect(parseSubnetEnv(usual.replace('IPMASQ=true', `IPMASQ=${value}`), file).ipMasq).toBe(want);
  });

  const all = 'FLANNEL_NETWORK, FLANNEL_IPV6_NETWORK, FLANNEL_SUBNET, FLANNEL_IPV6_SUBNET, FLANNEL_MTU, FLANNEL_IPMASQ';
  test.for([
    { name: 'an empty file', text: '', want: `${file} is missing ${all}` },
    {
      name: 'no network',
      text: without('FLANNEL_NETWORK'),
      want: `${file} is missing FLANNEL_NETWORK, FLANNEL_IPV6_NETWORK`,
    },
    {
      name: 'no subnet',
      text: without('FLANNEL_SUBNET'),
      want: `${file} is missing FLANNEL_SUBNET, FLANNEL_IPV6_SUBNET`,
    },
    { name: 'no MTU', text: without('FLANNEL_MTU'), want: `${file} is missing FLANNEL_MTU` },
    { name: 'no IPMASQ', text: without('FLANNEL_IPMASQ'), want: `${file} is missing FLANNEL_IPMASQ` },
    {
      name: 'the network of one family and the subnet of the other',
      text: `${without('FLANNEL_SUBNET')}FLANNEL_IPV6_SUBNET=fc00::1/64\n`,
      want: `${file} is missing FLANNEL_SUBNET, FLANNEL_IPV6_NETWORK`,
    },
    { name: 'a network that is none', text: usual.replace('10.244.0.0/16', 'foo'), want: 'invalid CIDR address: foo' },
    { name: 'an empty network', text: usual.replace('10.244.0.0/16', ''), want: 'invalid CIDR address: ' },
    { name: 'an empty item in the list', text: usual.replace('/16', '/16,'), want: 'invalid CIDR address: ' },
    { name: 'a subnet that is none', text: usual.replace('10.244.1.1/24', 'foo'), want: 'invalid CIDR address: foo' },
    {
      name: 'a subnet of the other family',
      text: usual.replace('10.244.1.1/24', 'fc00::1/64'),
      want: 'invalid CIDR address: fc00::1/64: not IPv4',
    },
    {
      name: 'an MTU that is none',
      text: usual.replace('1450', 'abc'),
      want: 'strconv.ParseUint: parsing "abc": invalid syntax',
    },
    {
      name: 'a negative MTU',
      text: usual.replace('1450', '-5'),
      want: 'strconv.ParseUint: parsing "-5": invalid syntax',
    },
    { name: 'an empty MTU', text: usual.replace('1450', ''), want: 'strconv.ParseUint: parsing "": invalid syntax' },
    {
      name: 'an MTU no device has',
      text: usual.replace('1450', '4294967295'),
      want: 'FLANNEL_MTU: expected 68–65535, got 4294967295',
    },
    {
      name: 'a known key without =, which crashes flannel',
      text: usual.replace('MTU=1450', 'MTU'),
      want: 'line without value: FLANNEL_MTU',
    },
  ])('refuses $name', ({ text, want }) => {
    expect(messageOf(text)).toBe(want);
  });
});

describe('renderSubnetEnv', () => {
  const network = parsePrefix('10.244.0.0/16');
  const subnet = parsePrefix('10.244.1.0/24');
  const ipv6Network = parsePrefix('fd00:10:244::/56');
  const ipv6Subnet = parsePrefix('fd00:10:244:1::/64');

  test("writes IPv4 byte for byte as flannel's", () => {
    expect(renderSubnetEnv({ network, subnet, mtu: 1450, ipMasq: true })).toBe(usual);
  });

  test('writes both families in flannel’s order', () => {
    expect(renderSubnetEnv({ network, subnet, ipv6Network, ipv6Subnet, mtu: 1430, ipMasq: false })).toBe(
      'FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.1.1/24\nFLANNEL_IPV6_NETWORK=fd00:10:244::/56\n' +
        'FLANNEL_IPV6_SUBNET=fd00:10:244:1::1/64\nFLANNEL_MTU=1430\nFLANNEL_IPMASQ=false\n',
    );
  });

  const prefix4 = fc.tuple(fc.nat(0xffffffff), fc.integer({ min: 8, max: 30 }));
  test('is read back as it was written, whatever the families', () => {
    const arbitrary4 = prefix4.map(([value, length]) => networkOf({ ip: { family: 4, value: BigInt(value) }, length }));
    const arbitrary6 = fc
      .tuple(fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }), fc.integer({ min: 16, max: 64 }))
      .map(([value, length]): IpPrefix => networkOf({ ip: { family: 6, value: value << 64n }, length }));
    const content: fc.Arbitrary<SubnetEnvContent> = fc
      .tuple(fc.constantFrom('4', '6', '46'), arbitrary4, arbitrary6, fc.integer({ min: 68, max: 65535 }), fc.boolean())
      .map(([families, four, six, mtu, ipMasq]) => ({
        ...(families.includes('4') ? { network: four, subnet: four } : {}),
        ...(families.includes('6') ? { ipv6Network: six, ipv6Subnet: six } : {}),
        mtu,
        ipMasq,
      }));
    fc.assert(
      fc.property(content, (wanted) => {
        const env = parseSubnetEnv(renderSubnetEnv(wanted), file);
        expect(env.mtu).toBe(wanted.mtu);
        expect(env.ipMasq).toBe(wanted.ipMasq);
        expect(env.networks).toEqual(wanted.network ? [wanted.network] : []);
        expect(env.ipv6Networks).toEqual(wanted.ipv6Network ? [wanted.ipv6Network] : []);
        expect(env.subnet && networkOf(env.subnet)).toEqual(wanted.subnet);
        expect(env.ipv6Subnet && networkOf(env.ipv6Subnet)).toEqual(wanted.ipv6Subnet);
      }),
    );
  });
});

describe('writeSubnetEnv', () => {
  test('makes the directory, replaces the file with mode 0644 and leaves nothing else', () => {
    const dir = mkdtempSync(join(tmpdir(), 'weft-subnet-env-'));
    onTestFinished(() => rmSync(dir, { recursive: true }));
    const sys = openKoffiSyscalls();
    const path = join(dir, 'run', 'flannel', 'subnet.env');
    const content = {
      network: parsePrefix('10.244.0.0/16'),
      subnet: parsePrefix('10.244.1.0/24'),
      mtu: 1450,
      ipMasq: true,
    };
    writeSubnetEnv(sys, path, content);
    expect(readFileSync(path, 'utf8')).toBe(usual);
    writeFileSync(path, 'x'.repeat(10_000), { mode: 0o600 });
    writeSubnetEnv(sys, path, content);
    expect(readFileSync(path, 'utf8')).toBe(usual);
    expect(statSync(path).mode & 0o777).toBe(0o644);
    expect(readdirSync(join(dir, 'run', 'flannel'))).toEqual(['subnet.env']);
  });
});
