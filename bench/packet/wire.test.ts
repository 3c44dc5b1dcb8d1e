import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  decodeEcho,
  decodePacket,
  ECHO_REPLY,
  ECHO_REQUEST,
  encodeEcho,
  encodePacket,
  internetChecksum,
} from './wire.ts';

const u32 = fc.integer({ min: 0, max: 0xffff_ffff });

/** The message behind an IPv4 header of that many bytes. */
const behindIp = (message: Buffer, headerBytes = 20): Buffer => {
  const header = Buffer.alloc(headerBytes);
  header.writeUInt8(0x40 | (headerBytes / 4), 0);
  return Buffer.concat([header, message]);
};

describe('a packet', () => {
  test('says its number and which pod it is for', () => {
    fc.assert(
      fc.property(u32, u32, (run, sequence) => {
        expect(decodePacket(encodePacket({ run, sequence }))).toEqual({ run, sequence });
      }),
    );
  });

  test.for([
    { name: 'nothing', bytes: Buffer.alloc(0) },
    { name: 'the payload of ping', bytes: Buffer.alloc(56, 0x10) },
    { name: 'one cut short', bytes: encodePacket({ run: 1, sequence: 2 }).subarray(0, 55) },
    { name: 'one with more behind it', bytes: Buffer.concat([encodePacket({ run: 1, sequence: 2 }), Buffer.alloc(1)]) },
  ])('is not $name', ({ bytes }) => {
    expect(decodePacket(bytes)).toBeUndefined();
  });
});

describe('an echo', () => {
  test('has the bytes of RFC 792', () => {
    const echo = encodeEcho(ECHO_REQUEST, encodePacket({ run: 0x1_0203, sequence: 0x1_0405 }));
    expect(echo.subarray(0, 2).toString('hex')).toBe('0800');
    expect(echo.subarray(4, 8).toString('hex')).toBe('02030405');
    expect(echo.subarray(8, 20).toString('hex')).toBe('776566740001020300010405');
    expect(internetChecksum(echo)).toBe(0);
  });

  test('has a reply with the identifier and number of its request', () => {
    const payload = encodePacket({ run: 7, sequence: 9 });
    const [request, reply] = [encodeEcho(ECHO_REQUEST, payload), encodeEcho(ECHO_REPLY, payload)];
    expect(reply.subarray(4)).toEqual(request.subarray(4));
  });

  test.for([20, 24, 60])('is found behind an IPv4 header of %i bytes', (headerBytes) => {
    const payload = encodePacket({ run: 3, sequence: 4 });
    expect(decodeEcho(ECHO_REPLY, behindIp(encodeEcho(ECHO_REPLY, payload), headerBytes))).toEqual(payload);
  });

  test.for([
    { name: 'of the other type', bytes: behindIp(encodeEcho(ECHO_REQUEST, encodePacket({ run: 3, sequence: 4 }))) },
    { name: 'cut short', bytes: behindIp(Buffer.alloc(7)) },
    { name: 'of no bytes', bytes: Buffer.alloc(0) },
    { name: 'whose header is longer than it', bytes: behindIp(Buffer.alloc(8), 60).subarray(0, 30) },
  ])('$name is none', ({ bytes }) => {
    expect(decodeEcho(ECHO_REPLY, bytes)).toBeUndefined();
  });
});

test.for([
  { hex: '', sum: 0xffff },
  { hex: '0001f203f4f5f6f7', sum: 0x220d },
  { hex: 'ff', sum: 0x00ff },
])('the checksum of $hex is RFC 1071’s', ({ hex, sum }) => {
  expect(internetChecksum(Buffer.from(hex, 'hex'))).toBe(sum);
});
