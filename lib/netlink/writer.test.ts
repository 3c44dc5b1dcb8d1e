import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { toHex } from '../../test/support/netlink-bytes.ts';
import { type Ip, parseIp } from '../ip.ts';
import { macFromBytes, parseMac } from '../mac.ts';
import { MessageReader } from './reader.ts';
import { MessageWriter } from './writer.ts';

/** Random content, so that padding that was not written shows. */
function dirty(length: number): Uint8Array {
  return new Uint8Array(length).fill(0xee);
}

function attributeHex(write: (writer: MessageWriter) => void): string {
  const bytes = dirty(256);
  const writer = new MessageWriter(bytes);
  write(writer);
  return toHex(bytes.subarray(0, writer.length));
}

describe('attributes', () => {
  test.for([
    { name: 'flag', write: (w: MessageWriter) => w.flag(23), want: '04001700' },
    { name: 'u8, padded with zeroes', write: (w: MessageWriter) => w.attrU8(4, 1), want: '0500040001000000' },
    { name: 'switch on', write: (w: MessageWriter) => w.attrSwitch(4, true), want: '0500040001000000' },
    { name: 'switch off', write: (w: MessageWriter) => w.attrSwitch(4, false), want: '0500040000000000' },
    { name: 'switch not given', write: (w: MessageWriter) => w.attrSwitch(4, undefined), want: '' },
    { name: 'u16, host order', write: (w: MessageWriter) => w.attrU16(5, 0x1234), want: '0600050034120000' },
    { name: 'port, network order', write: (w: MessageWriter) => w.attrU16be(15, 8472), want: '06000f0021180000' },
    { name: 'u32', write: (w: MessageWriter) => w.attrU32(4, 1450), want: '08000400aa050000' },
    { name: 'bytes', write: (w: MessageWriter) => w.attrBytes(9, Uint8Array.of(1, 2, 3)), want: '0700090001020300' },
    {
      name: 'text, with its NUL',
      write: (w: MessageWriter) => w.attrText(3, 'eth0'),
      want: '090003006574683000000000',
    },
    { name: 'empty text', write: (w: MessageWriter) => w.attrText(3, ''), want: '0500030000000000' },
    { name: 'IPv4', write: (w: MessageWriter) => w.attrIp(1, parseIp('10.244.1.0')), want: '080001000af40100' },
    {
      name: 'IPv6',
      write: (w: MessageWriter) => w.attrIp(1, parseIp('fd00:1:2:3:4:5:6:7')),
      want: '14000100fd000001000200030004000500060007',
    },
    {
      name: 'MAC',
      write: (w: MessageWriter) => w.attrMac(2, parseMac('0a:fe:09:b0:0c:ff')),
      want: '0a0002000afe09b00cff0000',
    },
    {
      name: 'nested',
      write: (w: MessageWriter) =>
        w.nest(18, () => {
          w.attrU8(1, 7);
          w.nest(2, () => w.flag(3));
        }),
      want: '14001200' + '0500010007000000' + '08000200' + '04000300',
    },
  ])('$name', ({ write, want }) => {
    expect(attributeHex(write)).toBe(want);
  });

  test.for(['caf\u00e9', 'a\0b', '\u{1f600}'])('refuse text that is not plain: %j', (text) => {
    expect(() => attributeHex((writer) => writer.attrText(3, text))).toThrow(RangeError);
  });

  test('what is written is read back', () => {
    const ip: fc.Arbitrary<Ip> = fc.oneof(
      fc.bigInt(0n, 2n ** 32n - 1n).map((value): Ip => ({ family: 4, value })),
      fc.bigInt(0n, 2n ** 128n - 1n).map((value): Ip => ({ family: 6, value })),
    );
    const mac = fc.uint8Array({ minLength: 6, maxLength: 6 }).map(macFromBytes);
    const text = fc.stringMatching(/^[ -}]{0,15}$/);
    fc.assert(
      fc.property(ip, mac, text, fc.nat(0xffff), fc.nat(0xffff_ffff), (address, hardware, name, port, number) => {
        const bytes = dirty(256);
        const writer = new MessageWriter(bytes);
        writer.begin(1, 2, 3);
        writer.attrText(1, name);
        writer.nest(2, () => {
          writer.attrIp(3, address);
          writer.attrMac(4, hardware);
        });
        writer.attrU16be(5, port);
        writer.attrU32(6, number);
        writer.end();
        const message = new MessageReader(bytes, writer.length);
        expect(message.next()).toBe(true);
        const attributes = message.attributes(0);
        attributes.next();
        expect(attributes.text()).toBe(name);
        attributes.next();
        const nested = attributes.nested();
        nested.next();
        expect(nested.ip()).toEqual(address);
        nested.next();
        expect(nested.mac()).toBe(hardware);
        expect(nested.next()).toBe(false);
        attributes.next();
        expect(attributes.u16be()).toBe(port);
        attributes.next();
        expect(attributes.u32()).toBe(number);
        expect(attributes.next()).toBe(false);
        expect(message.next()).toBe(false);
      }),
    );
  });
});

describe('messages', () => {
  test('follow each other, each with its length', () => {
    const bytes = dirty(64);
    const writer = new MessageWriter(bytes);
    writer.begin(16, 0x605, 1);
    writer.u8(1);
    writer.u8(2);
    writer.u16(3);
    writer.end();
    writer.begin(20, 1, 2);
    writer.end();
    writer.addFlags(4);
    expect(toHex(bytes.subarray(0, writer.length))).toBe(
      '14000000100005060100000000000000' + '01020300' + '10000000140005000200000000000000',
    );
    expect(writer.room).toBe(64 - 36);
  });

  test('one that is abandoned is removed, and the one before it is the last', () => {
    const bytes = dirty(64);
    const writer = new MessageWriter(bytes);
    writer.begin(16, 1, 1);
    writer.end();
    writer.begin(17, 1, 2);
    writer.u32(5);
    writer.abandon();
    writer.addFlags(4);
    expect(toHex(bytes.subarray(0, writer.length))).toBe('10000000100005000100000000000000');
  });

  test('never write outside their memory', () => {
    const outer = dirty(64);
    const writer = new MessageWriter(outer.subarray(8, 40));
    writer.begin(16, 0, 0);
    writer.attrU32(1, 1);
    expect(() => writer.attrBytes(2, new Uint8Array(5))).toThrow('netlink request exceeds 32 bytes');
    expect(toHex(outer.subarray(0, 8))).toBe('ee'.repeat(8));
    expect(toHex(outer.subarray(40))).toBe('ee'.repeat(24));
  });
});
