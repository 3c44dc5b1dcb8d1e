import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseIp } from '../../lib/ip.ts';
import { parseMac } from '../../lib/mac.ts';
import { encodeAnswer, encodeQuestion, HEADER_BYTES, readAnswer, readQuestion, readQuotedNonce } from './wire.ts';

const nonce = fc.bigInt(0n, 2n ** 64n - 1n);

describe('a question', () => {
  test('has its size and its nonce, and is read back', () => {
    fc.assert(
      fc.property(nonce, fc.integer({ min: HEADER_BYTES, max: 9000 }), fc.boolean(), (secret, bytes, noChecksum) => {
        const packet = encodeQuestion(secret, bytes, noChecksum);
        expect([packet.length, readQuestion(packet), readAnswer(packet)]).toEqual([bytes, secret, undefined]);
      }),
    );
  });

  test('is recognized by the 16 bytes that every ICMP error quotes, and not by fewer', () => {
    const packet = encodeQuestion(7n, HEADER_BYTES);
    expect([readQuotedNonce(packet.subarray(0, 16)), readQuotedNonce(packet.subarray(0, 15))]).toEqual([7n, undefined]);
  });

  test('has the bytes that agents of every version read', () => {
    const want = '57454654' + '01' + '01' + '00' + '00' + '0102030405060708';
    expect(Buffer.from(encodeQuestion(0x0102030405060708n, HEADER_BYTES)).toString('hex')).toBe(want.padEnd(128, '0'));
  });
});

describe('an answer', () => {
  const ip = fc.constantFrom('10.244.1.0', 'fd00:10:244::').map(parseIp);
  const answer = fc.record({
    nonce,
    heldMs: fc.integer({ min: 0, max: 4000 }),
    heard: fc.record({ agoMs: fc.option(fc.integer({ min: 0, max: 1e6 }), { nil: undefined }), bytes: fc.nat(9000) }),
    identity: fc.record({
      vtep: fc.option(ip, { nil: undefined }),
      mac: fc.constant(parseMac('02:00:00:00:01:01')),
      vni: fc.nat(0xffffff),
      port: fc.nat(65_535),
    }),
    bytes: fc.integer({ min: HEADER_BYTES, max: 9000 }),
  });

  test('is read back as it was written', () => {
    fc.assert(
      fc.property(answer, (one) => {
        expect(readAnswer(encodeAnswer(one))).toEqual(one);
      }),
    );
  });
});

test('any other bytes are neither a question nor an answer, and cause no error', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      expect([readQuestion(bytes), readAnswer(bytes), readQuotedNonce(bytes)]).toEqual([
        undefined,
        undefined,
        undefined,
      ]);
    }),
  );
});
