import { describe, expect, test } from 'vitest';
import { parseIp } from '../../../lib/ip.ts';
import type { Mac } from '../../../lib/mac.ts';
import { vxlanProbe } from './packet.ts';

const toMac = '0a:58:0a:f4:01:01' as Mac;
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

describe('vxlanProbe', () => {
  test('is VXLAN, Ethernet, IPv4 with its checksum and UDP, byte for byte', () => {
    const packet = vxlanProbe(0x010203, { from: parseIp('10.244.2.0'), to: parseIp('10.244.1.254'), toMac });
    expect(hex(packet)).toBe(
      [
        '0800000001020300',
        '0a580af401010a77656674000800',
        '4500001c0000000002119eec',
        '0af402000af401fe',
        'b7a1000900080000',
      ].join(''),
    );
  });

  test('is the first packet of a TCP connection where that is asked for, with its checksum', () => {
    const transport = { protocol: 'tcp', sourcePort: 61_001, port: 443 } as const;
    const packet = vxlanProbe(1, { from: parseIp('10.244.2.5'), to: parseIp('10.96.0.1'), toMac, transport });
    expect(hex(packet).slice((8 + 14) * 2)).toBe(
      ['45000028000000000206a1770af402050a600001', 'ee4901bb00000001000000005002ffffa8830000'].join(''),
    );
  });

  test('is the same over IPv6, without a checksum to keep', () => {
    const packet = vxlanProbe(1, { from: parseIp('fd00::2'), to: parseIp('fd00::1'), toMac });
    expect(hex(packet)).toBe(
      [
        '0800000000000100',
        '0a580af401010a776566740086dd',
        '6000000000081102',
        'fd000000000000000000000000000002fd000000000000000000000000000001',
        'b7a1000900080000',
      ].join(''),
    );
  });
});
