import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { attributesOf, fromHex } from '../../test/support/netlink-bytes.ts';
import { type AttributeReader, MalformedReply, MessageReader } from './reader.ts';

describe('MessageReader', () => {
  test.for([
    { name: 'nothing', hex: '', want: [] },
    { name: 'one message', hex: '10000000 0300 0200 05000000 09000000', want: [[3, 2, 5, 9]] },
    {
      name: 'a message, its padding, another',
      hex: '11000000 0300 0000 01000000 00000000 ff000000 10000000 0400 0000 02000000 00000000',
      want: [
        [3, 0, 1, 0],
        [4, 0, 2, 0],
      ],
    },
    {
      name: 'a last message without its padding',
      hex: '11000000 0300 0000 01000000 00000000 ff',
      want: [[3, 0, 1, 0]],
    },
  ])('walks $name', ({ hex, want }) => {
    const message = new MessageReader(fromHex(hex));
    const seen: number[][] = [];
    while (message.next()) seen.push([message.type, message.flags, message.seq, message.portId]);
    expect(seen).toEqual(want);
  });

  test.for([
    { name: 'a header cut short', hex: '100000000300', want: '6 bytes where a message header was expected' },
    { name: 'a length below the header', hex: `0f000000${'00'.repeat(12)}`, want: 'a message claims 15 of the 16' },
    { name: 'a length of nothing', hex: '00'.repeat(16), want: 'a message claims 0 of the 16' },
    { name: 'a length beyond the end', hex: `14000000${'00'.repeat(12)}`, want: 'a message claims 20 of the 16' },
    { name: 'a length with the top bit', hex: `ffffffff${'00'.repeat(12)}`, want: 'a message claims 4294967295' },
  ])('refuses $name', ({ hex, want }) => {
    expect(() => new MessageReader(fromHex(hex)).next()).toThrow(want);
  });

  test('does not read past what was received', () => {
    const message = new MessageReader(fromHex(`14000000${'00'.repeat(16)}`), 16);
    expect(() => message.next()).toThrow(MalformedReply);
  });

  test('refuses a message too short for its struct', () => {
    const message = new MessageReader(fromHex(`14000000 1000 0000 ${'00'.repeat(12)}`));
    message.next();
    expect(message.struct(4)).toBe(16);
    expect(() => message.struct(16)).toThrow('message type 16 has 4 bytes of the 16 it needs');
    expect(() => message.attributes(16)).toThrow(MalformedReply);
  });
});

describe('AttributeReader', () => {
  test('walks attributes, their padding and a rest shorter than a header', () => {
    const attributes = attributesOf(fromHex('05000100 ab000000 08000280 01000000 0000'));
    expect(attributes.next()).toBe(true);
    expect([attributes.type, attributes.length, attributes.u8()]).toEqual([1, 1, 0xab]);
    expect(attributes.next()).toBe(true);
    // NLA_F_NESTED is not a part of the type.
    expect([attributes.type, attributes.length, attributes.u32()]).toEqual([2, 4, 1]);
    expect(attributes.next()).toBe(false);
  });

  test.for([
    { name: 'a length below the header', hex: '03000100' },
    { name: 'a length of nothing', hex: '00000100' },
    { name: 'a length beyond the end', hex: '09000100 00000000' },
  ])('refuses $name', ({ hex }) => {
    expect(() => attributesOf(fromHex(hex)).next()).toThrow(MalformedReply);
  });

  test.for([
    { name: 'u8', hex: '04000100', read: (a: AttributeReader) => a.u8() },
    { name: 'u16', hex: '05000100 01000000', read: (a: AttributeReader) => a.u16() },
    { name: 'u16be', hex: '05000100 01000000', read: (a: AttributeReader) => a.u16be() },
    { name: 'u32', hex: '07000100 01020300', read: (a: AttributeReader) => a.u32() },
    { name: 'i32', hex: '06000100 01020000', read: (a: AttributeReader) => a.i32() },
    { name: 'ip of 3 bytes', hex: '07000100 01020300', read: (a: AttributeReader) => a.ip() },
    { name: 'ip of 5 bytes', hex: '09000100 0102030405000000', read: (a: AttributeReader) => a.ip() },
    { name: 'ip behind its end', hex: '08000100 01020304', read: (a: AttributeReader) => a.ipAt(2, 4) },
    { name: 'nested behind its end', hex: '06000100 01020000', read: (a: AttributeReader) => a.nested(4) },
  ])('refuses to read $name from a payload too short', ({ hex, read }) => {
    const attributes = attributesOf(fromHex(hex));
    attributes.next();
    expect(() => read(attributes)).toThrow(MalformedReply);
  });

  test.for([
    { name: 'up to its NUL', hex: '09000100 6574683000 000000', want: 'eth0' },
    { name: 'without a NUL, to its end only', hex: '06000100 6162 6364', want: 'ab' },
    { name: 'bytes outside ASCII escaped', hex: '06000100 c3a90000', want: '\\xc3\\xa9' },
    { name: 'empty', hex: '04000100', want: '' },
  ])('reads text $name', ({ hex, want }) => {
    const attributes = attributesOf(fromHex(hex));
    attributes.next();
    expect(attributes.text()).toBe(want);
  });

  test('skips unwanted attributes, and does not confuse types that differ by 32', () => {
    const bytes = new Uint8Array([1, 3, 33, 35, 65].flatMap((type) => [5, 0, type, 0, type, 0, 0, 0]));
    const found = (wanted: number, high?: number): number[] => {
      const attributes = attributesOf(bytes);
      const types: number[] = [];
      while (attributes.nextOf(wanted, high)) types.push(attributes.u8());
      return types;
    };
    expect(found(1 << 1)).toEqual([1]);
    expect(found(1 << 3, 1 << 3)).toEqual([3, 35]);
    expect(found(0)).toEqual([]);
  });

  test('ignores a hardware address of another length', () => {
    const attributes = attributesOf(fromHex('08000100 0a000001'));
    attributes.next();
    expect(attributes.mac()).toBeUndefined();
  });

  test('reads negative numbers', () => {
    const attributes = attributesOf(fromHex('08000100 feffffff'));
    attributes.next();
    expect(attributes.i32()).toBe(-2);
  });

  test('any bytes give a value or MalformedReply, in bounded time', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const walk = (attributes: AttributeReader, depth: number): void => {
          while (attributes.next()) {
            attributes.text();
            attributes.mac();
            expect(attributes.copy().length).toBe(attributes.length);
            if (depth < 4) walk(attributes.nested(), depth + 1);
          }
        };
        try {
          walk(attributesOf(bytes), 0);
        } catch (error) {
          expect(error).toBeInstanceOf(MalformedReply);
        }
      }),
    );
  });
});
