import { describe, expect, test } from 'vitest';
import { parseIp } from '../../lib/ip.ts';
import { parseMac } from '../../lib/mac.ts';
import { ipv4, udp, vxlan } from '../../test/support/tunnel-packets.ts';
import { echoFrame, innerPayloadAt, udpFrame } from './frame.ts';

const from = { mac: parseMac('02:00:00:00:01:01'), ip: parseIp('10.244.1.0') };
const to = { mac: parseMac('02:00:00:00:02:02'), ip: parseIp('10.244.2.0') };
const from6 = { ...from, ip: parseIp('fd00:10:244:1::') };
const to6 = { ...to, ip: parseIp('fd00:10:244:2::') };

/** RFC 1071: the sum over everything, checksum included, is all ones. */
function sums(bytes: Uint8Array): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += ((bytes[at] ?? 0) << 8) + (bytes[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}

/** What an IPv6 checksum covers. */
function withPseudoHeader(packet: Uint8Array): Buffer {
  const body = packet.subarray(40);
  const rest = Buffer.from([0, 0, body.length >> 8, body.length & 255, 0, 0, 0, packet[6] ?? 0]);
  return Buffer.concat([packet.subarray(8, 40), rest, body]);
}

describe('a packet made by hand', () => {
  test('has the same bytes as an independent encoder gives, except DF', () => {
    const payload = Buffer.from('hello');
    const link = { from: from.mac, to: to.mac };
    const want = vxlan(ipv4(link, '10.244.1.0', '10.244.2.0', 17, udp(8477, payload)), 300);
    const packet = Buffer.from(udpFrame(300, from, to, { from: 40_000, to: 8477 }, payload));
    // The DF flag and the header's checksum.
    for (const at of [28, 32, 33]) packet[at] = want[at] ?? 0;
    expect(packet.toString('hex')).toBe(want.toString('hex'));
    expect(packet.subarray(innerPayloadAt(4)).toString()).toBe('hello');
  });

  test.for([
    { name: 'UDP over IPv4', packet: udpFrame(1, from, to, { from: 1, to: 2 }, Buffer.alloc(64, 7)) },
    { name: 'an echo over IPv4', packet: echoFrame(1, from, to, 77, 3) },
  ])('has the right checksums: $name', ({ packet }) => {
    const ip = packet.subarray(22);
    expect(sums(ip.subarray(0, 20))).toBe(0xffff);
    if (ip[9] === 1) expect(sums(ip.subarray(20))).toBe(0xffff);
  });

  test.for([
    { name: 'UDP over IPv6', packet: udpFrame(1, from6, to6, { from: 1, to: 2 }, Buffer.alloc(65, 7)) },
    { name: 'an echo over IPv6', packet: echoFrame(1, from6, to6, 77, 3) },
  ])('has the right checksums: $name', ({ packet }) => {
    expect(sums(withPseudoHeader(packet.subarray(22)))).toBe(0xffff);
  });
});
