import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isLocalMac, isUnicastMac, MacError, macFromBytes, macFromRandom, macToBytes, parseMac } from './mac.ts';

const sixBytes = fc.uint8Array({ minLength: 6, maxLength: 6 });

describe('parseMac', () => {
  test('gives canonical lower case', () => {
    expect(parseMac('12:C6:65:89:b4:E3')).toBe('12:c6:65:89:b4:e3');
  });

  test.for([
    '',
    '12:c6:65:89:b4',
    '12:c6:65:89:b4:e3:00',
    '12-c6-65-89-b4-e3',
    '12c6.6589.b4e3',
    '12:c6:65:89:b4:eg',
    '2:c6:65:89:b4:e3x',
    '12:c6:65:89:b4:e3 ',
    '12:c6:65:89:b4 e3',
    '٠٠:c6:65:89:b4:e3',
  ])('refuses %j', (text) => {
    expect(() => parseMac(text)).toThrow(MacError);
  });

  test('quotes hostile text escaped and shortened', () => {
    expect(() => parseMac('\u001b')).toThrow('invalid MAC address: "\\u001b"');
    expect(() => parseMac('x'.repeat(100_000))).toThrow(/^invalid MAC address: "x{64}"$/);
  });
});

describe('bytes', () => {
  test('round trip through text', () => {
    fc.assert(
      fc.property(sixBytes, (bytes) => {
        const mac = macFromBytes(bytes);
        expect(parseMac(mac)).toBe(mac);
        expect(macToBytes(mac)).toEqual(bytes);
      }),
    );
  });

  test.for([0, 5, 7, 20])('refuses %i bytes', (length) => {
    expect(() => macFromBytes(new Uint8Array(length))).toThrow(`invalid MAC address: ${length} bytes, expected 6`);
  });
});

describe('classes', () => {
  test.for([
    { mac: '02:00:00:00:00:01', unicast: true, local: true },
    { mac: '00:16:3e:00:00:01', unicast: true, local: false },
    { mac: '01:00:5e:00:00:01', unicast: false, local: false },
    { mac: 'ff:ff:ff:ff:ff:ff', unicast: false, local: true },
    { mac: '00:00:00:00:00:00', unicast: false, local: false },
  ])('$mac', ({ mac, unicast, local }) => {
    expect(isUnicastMac(parseMac(mac))).toBe(unicast);
    expect(isLocalMac(parseMac(mac))).toBe(local);
  });

  test('random bytes become a local unicast MAC that keeps the other 46 bits', () => {
    fc.assert(
      fc.property(sixBytes, (bytes) => {
        const before = bytes.slice();
        const mac = macFromRandom(bytes);
        expect(isUnicastMac(mac) && isLocalMac(mac)).toBe(true);
        expect(macToBytes(mac).slice(1)).toEqual(bytes.slice(1));
        expect((macToBytes(mac)[0] ?? 0) >> 2).toBe((bytes[0] ?? 0) >> 2);
        expect(bytes).toEqual(before);
      }),
    );
  });
});
