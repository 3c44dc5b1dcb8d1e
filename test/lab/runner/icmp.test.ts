import { describe, expect, test } from 'vitest';
import { decodeReply, encodeEcho, internetChecksum } from './icmp.ts';

/** Makes a packet: an IPv4 header of `words` 32-bit words with the source 10.0.0.9, followed by the payload. */
function ipPacket(payload: Uint8Array, words = 5): Uint8Array {
  const packet = new Uint8Array(words * 4 + payload.length);
  packet[0] = 0x40 | words;
  packet.set([10, 0, 0, 9], 12);
  packet.set(payload, words * 4);
  return packet;
}

/** Makes the reply to an echo request, which has the same bytes and another type. */
function withType(echo: Uint8Array, type: number): Uint8Array {
  const reply = echo.slice();
  reply[0] = type;
  return reply;
}

/** Makes an ICMP error with `type` and `code` about a request that was sent. */
function errorAbout(echo: Uint8Array, type: number, code: number): Uint8Array {
  const original = ipPacket(echo).subarray(0, 28);
  const packet = new Uint8Array(8 + original.length);
  packet.set([type, code]);
  packet.set(original, 8);
  return packet;
}

describe('encodeEcho', () => {
  test('has the header of RFC 792', () => {
    expect([...encodeEcho(0x1234, 7, 0)]).toEqual([8, 0, 0xe5, 0xc4, 0x12, 0x34, 0, 7]);
  });

  test.for([0, 1, 55, 56, 1422])('has a correct checksum with %d bytes', (payload) => {
    const packet = encodeEcho(1, 2, payload);
    expect(packet).toHaveLength(8 + payload);
    expect(internetChecksum(packet)).toBe(0);
  });
});

describe('decodeReply', () => {
  const echo = encodeEcho(5, 9, 16);

  test.for([5, 6, 15])('reads an answer behind an IP header of %d words', (words) => {
    expect(decodeReply(ipPacket(withType(echo, 0), words))).toEqual({ identifier: 5, sequence: 9 });
  });

  test.for([
    { name: 'no such host', type: 3, code: 1, want: 'host unreachable, says 10.0.0.9' },
    { name: 'a firewall', type: 3, code: 13, want: 'administratively filtered, says 10.0.0.9' },
    { name: 'another code', type: 3, code: 9, want: 'unreachable, code 9, says 10.0.0.9' },
    { name: 'a loop', type: 11, code: 0, want: 'time to live exceeded, says 10.0.0.9' },
  ])('reads a router’s error: $name', ({ type, code, want }) => {
    expect(decodeReply(ipPacket(errorAbout(echo, type, code)))).toEqual({ identifier: 5, sequence: 9, failure: want });
  });

  test.for([
    { name: 'our own request', packet: ipPacket(echo) },
    { name: 'an error about something else', packet: ipPacket(errorAbout(withType(echo, 13), 3, 1)) },
    { name: 'an error without its original', packet: ipPacket(errorAbout(echo, 3, 1).subarray(0, 12)) },
    { name: 'a cut header', packet: ipPacket(withType(echo, 0).subarray(0, 4)) },
    { name: 'nothing', packet: new Uint8Array(0) },
  ])('ignores $name', ({ packet }) => {
    expect(decodeReply(packet)).toBeUndefined();
  });
});
