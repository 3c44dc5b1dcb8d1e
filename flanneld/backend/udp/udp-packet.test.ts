import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { internetChecksum } from '../../../lib/packet-bytes.ts';
import { netUnreachable, readIpv4, spendHop } from './udp-packet.ts';

/** UDP from 10.244.1.2 to 10.244.2.3, TTL 64, with 16 bytes of data and a valid header checksum. */
const packet = Buffer.from(
  '4500002c1234400040110fa10af401020af40203' + '1f902382001800000102030405060708090a0b0c0d0e0f10',
  'hex',
);
const header = (bytes: Uint8Array): Uint8Array => bytes.subarray(0, 20);
const fresh = (): Uint8Array => Uint8Array.from(packet);

describe('readIpv4', () => {
  test('reads addresses, protocol and fragment offset', () => {
    expect(readIpv4(packet)).toEqual({
      source: 0x0af40102,
      destination: 0x0af40203,
      protocol: 17,
      headerBytes: 20,
      isFirstFragment: true,
    });
  });

  test.for([
    { name: 'nothing', bytes: '' },
    { name: 'half a header', bytes: packet.toString('hex').slice(0, 38) },
    { name: 'IPv6', bytes: `6${packet.toString('hex').slice(1)}` },
    { name: 'a header shorter than a header', bytes: `44${packet.toString('hex').slice(2)}` },
    { name: 'a length beyond the end of the packet', bytes: packet.toString('hex').replace(/^4500002c/, '4500002d') },
    { name: 'a length shorter than the header', bytes: packet.toString('hex').replace(/^4500002c/, '45000013') },
  ])('refuses $name', ({ bytes }) => {
    expect(readIpv4(Buffer.from(bytes, 'hex'))).toBeUndefined();
  });

  test('throws for no bytes at all', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => void readIpv4(bytes)));
  });
});

describe('spendHop', () => {
  test('keeps the checksum right, whatever the header is', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 20, maxLength: 20 }), (bytes) => {
        const view = new DataView(bytes.buffer);
        bytes[8] = Math.max(2, bytes[8] ?? 0);
        view.setUint16(10, 0);
        view.setUint16(10, internetChecksum(bytes));
        const ttl = bytes[8];
        expect(spendHop(bytes)).toBe(true);
        expect(bytes[8]).toBe(ttl - 1);
        expect(internetChecksum(bytes)).toBe(0);
      }),
    );
  });

  test.for([0, 1])('refuses to forward a packet with TTL %i', (ttl) => {
    const bytes = fresh();
    bytes[8] = ttl;
    const before = Buffer.from(bytes).toString('hex');
    expect(spendHop(bytes)).toBe(false);
    expect(Buffer.from(bytes).toString('hex')).toBe(before);
  });
});

describe('netUnreachable', () => {
  const answer = (bytes: Uint8Array): Uint8Array | undefined => {
    const read = readIpv4(bytes);
    return read && netUnreachable(bytes, read);
  };

  test('quotes the header and eight bytes, and goes from the address that no node has to the sender', () => {
    const reply = answer(packet);
    if (reply === undefined) throw new Error('no reply');
    expect(Buffer.from(reply).toString('hex')).toBe(
      `4500003800000000080199d9${'0af40203'}${'0af40102'}` +
        `0300${'b9d5'}00000000${packet.toString('hex').slice(0, 56)}`,
    );
    expect([internetChecksum(header(reply)), internetChecksum(reply.subarray(20))]).toEqual([0, 0]);
  });

  test('is not sent for ICMP, nor for a later fragment', () => {
    const icmp = fresh();
    icmp[9] = 1;
    const fragment = fresh();
    fragment[7] = 1;
    expect([answer(icmp), answer(fragment)]).toEqual([undefined, undefined]);
  });
});
