import { isIP } from 'node:net';
import fc from 'fast-check';
import ipaddr from 'ipaddr.js';
import { describe, expect, test } from 'vitest';
import type { Ip, IpPrefix } from './ip.ts';
import {
  addressBits,
  addToIp,
  broadcastOf,
  compareIp,
  contains,
  containsPrefix,
  formatIp,
  formatPrefix,
  hostPrefix,
  IpError,
  ipFromBytes,
  ipToBytes,
  isLinkLocal,
  isLoopback,
  isMapped4,
  isMulticast,
  isUnspecified,
  networkOf,
  overlaps,
  parseIp,
  parsePrefix,
  sameIp,
  samePrefix,
} from './ip.ts';

const bytes4 = fc.uint8Array({ minLength: 4, maxLength: 4 });
/** Whole groups are often zero, because RFC 5952 is mostly about runs of zeros. */
const bytes6 = fc
  .array(fc.oneof(fc.constant([0, 0]), fc.tuple(fc.nat(255), fc.nat(255))), { minLength: 8, maxLength: 8 })
  .map((groups) => Uint8Array.from(groups.flat()));
const anyIp: fc.Arbitrary<Ip> = fc.oneof(bytes4, bytes6).map((bytes) => ipFromBytes(bytes));
const anyPrefix: fc.Arbitrary<IpPrefix> = anyIp.chain((ip) =>
  fc.nat(addressBits(ip.family)).map((length) => ({ ip, length })),
);

describe('parseIp', () => {
  test.for([
    { name: 'IPv4', text: '10.244.1.0', want: [10, 244, 1, 0] },
    { name: 'the highest IPv4 address', text: '255.255.255.255', want: [255, 255, 255, 255] },
    { name: 'unspecified IPv6', text: '::', want: Array(16).fill(0) },
    { name: 'loopback IPv6', text: '::1', want: [...Array(15).fill(0), 1] },
    { name: 'a gap at the end', text: 'fe80::', want: [0xfe, 0x80, ...Array(14).fill(0)] },
    {
      name: 'a gap of a single group, upper case, leading zeros in a group',
      text: '0001:2:3::5:6:7:00FF',
      want: [0, 1, 0, 2, 0, 3, 0, 0, 0, 5, 0, 6, 0, 7, 0, 255],
    },
    {
      name: 'embedded IPv4 after six groups',
      text: '64:ff9b:0:0:0:0:192.0.2.33',
      want: [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, 192, 0, 2, 33],
    },
    { name: 'embedded IPv4 after a gap', text: '::1.2.3.4', want: [...Array(12).fill(0), 1, 2, 3, 4] },
    {
      name: 'an IPv4-mapped address as the IPv6 address it is',
      text: '::ffff:1.2.3.4',
      want: [...Array(10).fill(0), 255, 255, 1, 2, 3, 4],
    },
    {
      name: 'the longest text',
      text: 'aaaa:bbbb:cccc:dddd:eeee:ffff:255.255.255.255',
      want: [0xaa, 0xaa, 0xbb, 0xbb, 0xcc, 0xcc, 0xdd, 0xdd, 0xee, 0xee, 0xff, 0xff, 255, 255, 255, 255],
    },
  ])('reads $name', ({ text, want }) => {
    expect([...ipToBytes(parseIp(text))]).toEqual(want);
  });

  test.for([
    { name: 'nothing', text: '' },
    { name: 'a name', text: 'localhost' },
    { name: 'three octets', text: '10.0.1' },
    { name: 'five octets', text: '10.0.1.2.3' },
    { name: 'a number', text: '167772161' },
    { name: 'a leading zero, octal to some', text: '010.0.0.1' },
    { name: 'a double zero', text: '10.00.0.1' },
    { name: 'hexadecimal octets', text: '0xa.0.0.1' },
    { name: 'an octet above 255', text: '10.0.0.256' },
    { name: 'an octet of four digits', text: '10.0.0.1000' },
    { name: 'an empty octet', text: '10..0.1' },
    { name: 'a final dot', text: '10.0.0.1.' },
    { name: 'a blank before', text: ' 10.0.0.1' },
    { name: 'a line end after', text: '10.0.0.1\n' },
    { name: 'a sign', text: '+1.0.0.1' },
    { name: 'digits of another script', text: '١.0.0.1' },
    { name: 'a zone', text: 'fe80::1%eth0' },
    { name: 'brackets', text: '[::1]' },
    { name: 'two gaps', text: '1::2::3' },
    { name: 'three colons', text: ':::' },
    { name: 'three colons between groups', text: '1:::2' },
    { name: 'a single colon', text: ':' },
    { name: 'a leading colon', text: ':1:2:3:4:5:6:7' },
    { name: 'a final colon', text: '1:2:3:4:5:6:7:' },
    { name: 'a final colon after a gap', text: '1::2:' },
    { name: 'seven groups', text: '1:2:3:4:5:6:7' },
    { name: 'nine groups', text: '1:2:3:4:5:6:7:8:9' },
    { name: 'a gap standing for nothing', text: '1:2:3:4::5:6:7:8' },
    { name: 'a group of five digits', text: '::12345' },
    { name: 'a group that is no number', text: '::g' },
    { name: 'IPv4 in the middle', text: '::1.2.3.4:5' },
    { name: 'IPv4 before the gap', text: '1.2.3.4::' },
    { name: 'embedded IPv4 with a leading zero', text: '::ffff:01.2.3.4' },
    { name: 'embedded IPv4 of three octets', text: '::1.2.3' },
    { name: 'seven groups and IPv4', text: '1:2:3:4:5:6:7:1.2.3.4' },
    { name: 'a prefix', text: '10.0.0.0/8' },
  ])('refuses $name', ({ text }) => {
    expect(() => parseIp(text)).toThrow(IpError);
  });

  test('names the text as Go does, shortened and without control characters', () => {
    expect(() => parseIp('foo')).toThrow(/^invalid IP address: foo$/);
    expect(() => parseIp('a\u001b[2J')).toThrow(/^invalid IP address: a\?\[2J$/);
    expect(() => parseIp('x'.repeat(1_000_000))).toThrow(/^invalid IP address: x{64}…$/);
  });

  test('agrees with Node on whether text is an address, and with ipaddr.js on which', () => {
    const piece = fc.constantFrom('0', '1', '00', 'ff', 'abcd', '255', '256', ':', '::', '.', '.', ':', '9');
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 18 }), (pieces) => {
        const text = pieces.join('');
        let ours: number[] | undefined;
        try {
          ours = [...ipToBytes(parseIp(text))];
        } catch {
          ours = undefined;
        }
        expect(ours, text).toEqual(isIP(text) === 0 ? undefined : ipaddr.parse(text).toByteArray());
      }),
      { numRuns: 2000 },
    );
  });
});

describe('formatIp', () => {
  test.for([
    { text: '::', want: '::' },
    { text: '0:0:0:0:0:0:0:1', want: '::1' },
    { text: '2001:DB8:0:0:1:0:0:1', want: '2001:db8::1:0:0:1' },
    { text: '2001:db8:0:1:1:1:1:1', want: '2001:db8:0:1:1:1:1:1' },
    { text: '2001:0:0:1:0:0:0:1', want: '2001:0:0:1::1' },
    { text: 'fe80:0:0:0:0:0:0:0', want: 'fe80::' },
    { text: '::ffff:102:304', want: '::ffff:1.2.3.4' },
    { text: '::1.2.3.4', want: '::102:304' },
    { text: '0.0.0.0', want: '0.0.0.0' },
  ])('writes $text as $want', ({ text, want }) => {
    expect(formatIp(parseIp(text))).toBe(want);
  });

  test('round trips every address and agrees with ipaddr.js', () => {
    fc.assert(
      fc.property(anyIp, (ip) => {
        const text = formatIp(ip);
        expect(parseIp(text)).toEqual(ip);
        const oracle = ipaddr.fromByteArray([...ipToBytes(ip)]);
        if (!isMapped4(ip)) {
          expect(text).toBe(oracle instanceof ipaddr.IPv6 ? oracle.toRFC5952String() : oracle.toString());
        }
      }),
    );
  });
});

describe('bytes', () => {
  test('round trip', () => {
    fc.assert(
      fc.property(fc.oneof(bytes4, bytes6), (bytes) => {
        expect(ipToBytes(ipFromBytes(bytes))).toEqual(bytes);
      }),
    );
  });

  test.for([0, 3, 5, 15, 17])('refuses %i bytes', (length) => {
    expect(() => ipFromBytes(new Uint8Array(length))).toThrow(`invalid IP address: ${length} bytes, expected 4 or 16`);
  });
});

describe('parsePrefix', () => {
  test('keeps host bits', () => {
    expect(formatPrefix(parsePrefix('10.244.1.7/24'))).toBe('10.244.1.7/24');
    expect(formatPrefix(parsePrefix('fd00::5/64'))).toBe('fd00::5/64');
  });

  test.for([
    '',
    '/',
    '/8',
    '10.0.0.0',
    '10.0.0.0/',
    '10.0.0.0/33',
    '10.0.0.0/08',
    '10.0.0.0/+8',
    '10.0.0.0/-1',
    '10.0.0.0/8 ',
    '10.0.0.0/8/8',
    '10.0.0/8',
    '10.0.0.0/255.0.0.0',
    '::/129',
    'fe80::1%1/64',
    `${'1'.repeat(100)}/8`,
  ])('refuses %j', (text) => {
    expect(() => parsePrefix(text)).toThrow(/^invalid CIDR address: /);
  });

  test('round trips every prefix', () => {
    fc.assert(
      fc.property(anyPrefix, (prefix) => {
        expect(parsePrefix(formatPrefix(prefix))).toEqual(prefix);
      }),
    );
  });
});

describe('prefix arithmetic', () => {
  test.for([
    { prefix: '10.244.1.7/24', network: '10.244.1.0/24', last: '10.244.1.255' },
    { prefix: '255.255.255.255/0', network: '0.0.0.0/0', last: '255.255.255.255' },
    { prefix: '10.0.0.1/32', network: '10.0.0.1/32', last: '10.0.0.1' },
    { prefix: 'fd00:10:244:1ff::5/56', network: 'fd00:10:244:100::/56', last: 'fd00:10:244:1ff:ffff:ffff:ffff:ffff' },
    { prefix: '::1/128', network: '::1/128', last: '::1' },
  ])('$prefix starts at $network and ends at $last', ({ prefix, network, last }) => {
    expect(formatPrefix(networkOf(parsePrefix(prefix)))).toBe(network);
    expect(formatIp(broadcastOf(parsePrefix(prefix)))).toBe(last);
  });

  test('a prefix holds its ends, and not their outer neighbours', () => {
    fc.assert(
      fc.property(anyPrefix, (prefix) => {
        const first = networkOf(prefix).ip;
        const last = broadcastOf(prefix);
        expect(contains(prefix, first) && contains(prefix, last) && contains(prefix, prefix.ip)).toBe(true);
        if (first.value > 0n) expect(contains(prefix, addToIp(first, -1))).toBe(false);
        if (last.value >> BigInt(addressBits(last.family)) === 0n && prefix.length > 0) {
          const next = { family: last.family, value: last.value + 1n };
          expect(contains(prefix, next)).toBe(false);
        }
      }),
    );
  });

  test('overlap means one holds the other, whichever way round', () => {
    fc.assert(
      fc.property(anyPrefix, anyPrefix, (a, b) => {
        expect(overlaps(a, b)).toBe(containsPrefix(a, b) || containsPrefix(b, a));
        expect(overlaps(a, b)).toBe(overlaps(b, a));
      }),
    );
  });

  test('families never mix', () => {
    const all4 = parsePrefix('0.0.0.0/0');
    const all6 = parsePrefix('::/0');
    expect(contains(all4, parseIp('::1'))).toBe(false);
    expect(overlaps(all4, all6)).toBe(false);
    expect(containsPrefix(all6, all4)).toBe(false);
    expect(sameIp(parseIp('0.0.0.0'), parseIp('::'))).toBe(false);
    expect(sameIp(parseIp('1.2.3.4'), parseIp('::ffff:1.2.3.4'))).toBe(false);
  });

  test('samePrefix counts host bits and length', () => {
    const a = parsePrefix('10.0.0.1/24');
    expect(samePrefix(a, parsePrefix('10.0.0.1/24'))).toBe(true);
    expect(samePrefix(a, parsePrefix('10.0.0.0/24'))).toBe(false);
    expect(samePrefix(a, parsePrefix('10.0.0.1/25'))).toBe(false);
  });

  test('hostPrefix holds one address', () => {
    expect(formatPrefix(hostPrefix(parseIp('10.0.0.1')))).toBe('10.0.0.1/32');
    expect(formatPrefix(hostPrefix(parseIp('fd00::1')))).toBe('fd00::1/128');
  });
});

describe('addToIp', () => {
  test('carries across octets and groups, and back', () => {
    expect(formatIp(addToIp(parseIp('10.0.255.255'), 1))).toBe('10.1.0.0');
    expect(formatIp(addToIp(parseIp('fd00::ffff:ffff'), 1n))).toBe('fd00::1:0:0');
    expect(formatIp(addToIp(parseIp('10.1.0.0'), -1))).toBe('10.0.255.255');
  });

  test.for([
    { text: '255.255.255.255', n: 1, want: 'address out of range: 255.255.255.255 + 1' },
    { text: '0.0.0.0', n: -1, want: 'address out of range: 0.0.0.0 - 1' },
    { text: '::', n: -5, want: 'address out of range: :: - 5' },
  ])('refuses $want', ({ text, n, want }) => {
    expect(() => addToIp(parseIp(text), n)).toThrow(want);
  });
});

describe('compareIp', () => {
  test('sorts by family, then by value', () => {
    const texts = ['::1', '10.0.0.2', 'fd00::', '10.0.0.10', '::'];
    expect(texts.map(parseIp).sort(compareIp).map(formatIp)).toEqual(['10.0.0.2', '10.0.0.10', '::', '::1', 'fd00::']);
    expect(compareIp(parseIp('::1'), parseIp('::1'))).toBe(0);
  });
});

describe('classes of addresses', () => {
  test.for([
    { is: isUnspecified, name: 'unspecified', yes: ['0.0.0.0', '::'], no: ['0.0.0.1', '::1'] },
    { is: isLoopback, name: 'loopback', yes: ['127.0.0.1', '127.255.0.1', '::1'], no: ['128.0.0.1', '::2', '1.0.0.0'] },
    {
      is: isMulticast,
      name: 'multicast',
      yes: ['224.0.0.1', '239.9.9.9', 'ff02::1'],
      no: ['223.0.0.1', '240.0.0.1', 'fe80::1'],
    },
    { is: isLinkLocal, name: 'link-local', yes: ['169.254.9.9', 'fe80::1', 'febf::1'], no: ['169.253.0.1', 'fec0::1'] },
    { is: isMapped4, name: 'IPv4-mapped', yes: ['::ffff:0:0'], no: ['::fffe:1.2.3.4', '::1.2.3.4', '1.2.3.4'] },
  ])('$name', ({ is, yes, no }) => {
    for (const text of yes) expect(is(parseIp(text)), text).toBe(true);
    for (const text of no) expect(is(parseIp(text)), text).toBe(false);
  });
});
