import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { messageOf, payloadHex, sortedPayload } from '../../test/support/netlink-bytes.ts';
import { type Ip, parseIp } from '../ip.ts';
import { parseMac } from '../mac.ts';
import { RTM_NEWLINK } from './rtnetlink-constants.ts';
import { addVxlan, moveVxlan } from './vxlan.ts';
import { decodeVxlan, spellVxlan, type VxlanAttributes, writeVxlan } from './vxlan-attributes.ts';

const flannels: VxlanAttributes = {
  vni: 1,
  lowerIndex: 2,
  local: parseIp('192.168.50.11'),
  port: 8472,
  learning: false,
};

/** What flannel always sends as 0: TTL, TOS, then after learning PROXY, RSC, L2MISS, L3MISS, ZERO_CSUM6_TX, _RX. */
const BEFORE = '05000500 00000000 05000600 00000000';
const AFTER =
  '05000b00 00000000 05000c00 00000000 05000d00 00000000 05000e00 00000000 05001300 00000000 05001400 00000000';

function dataHex(vxlan: VxlanAttributes): string {
  return payloadHex({ write: (writer) => writeVxlan(writer, vxlan) });
}

describe('addVxlan', () => {
  test("makes flannel's device in one message", () => {
    const request = addVxlan(
      { name: 'flannel.1', mac: parseMac('02:00:00:00:01:01'), mtu: 1400, txQueueLength: 0, vxlan: flannels },
      'eth0',
    );
    expect([request.type, request.flags]).toEqual([RTM_NEWLINK, 0x600]);
    const data = `08000100 01000000 08000300 02000000 08000400 c0a8320b ${BEFORE} 05000700 00000000 ${AFTER} 06000f00 21180000`;
    const attributes =
      '0e000300 666c616e6e656c2e31000000 0a000100 0200000001010000 08000400 78050000 08000d00 00000000';
    const info = `7c001200 0a000100 76786c616e000000 6c000200 ${data}`;
    expect(payloadHex(request)).toBe(`${'00'.repeat(16)}${attributes}${info}`.replaceAll(' ', ''));
    expect(request.describe()).toBe('add link flannel.1 type vxlan');
    expect(request.command?.()).toBe(
      'ip link add flannel.1 address 02:00:00:00:01:01 mtu 1400 txqueuelen 0 type vxlan id 1 local 192.168.50.11 dev eth0 dstport 8472 nolearning',
    );
  });

  test("sends what ip link add … type vxlan sends, and flannel's zero values", () => {
    const ours = addVxlan({
      name: 'flannel.1',
      mac: parseMac('02:00:00:00:01:01'),
      mtu: 1400,
      txQueueLength: 0,
      vxlan: flannels,
    });
    const tool =
      '000000000000000000000000000000000a0001000200000001010000080004007805000008000d00000000000e000300666c616e6e656c2e3100' +
      '00003c0012000900010076786c616e0000002c0002000800030002000000080001000100000008000400c0a8320b050007000000000006000f0021180000';
    const attributes = (payload: string): string[] => sortedPayload(payload, 16).replaceAll(/[{}]/g, ' ').split(' ');
    // ip leaves out the NUL behind the kind's name.
    const missing = attributes(tool).filter((word) => !attributes(payloadHex(ours)).includes(word));
    expect(missing).toEqual(['18.1=76786c616e']);
  });
});

test.for([
  { name: 'IPv4', local: '192.168.60.11', address: '08000400 c0a83c0b', info: '2c001200', data: '1c000200' },
  { name: 'IPv6', local: 'fd00::1', address: `14001100 fd${'00'.repeat(14)}01`, info: '38001200', data: '28000200' },
])('moveVxlan sends where to, as ip does, and nothing else: $name', ({ local, address, info, data }) => {
  const to = { vni: 1, lowerIndex: 3, local: parseIp(local) };
  const request = moveVxlan({ index: 6, name: 'flannel.1' }, to, 'eth1');
  expect([request.type, request.flags]).toEqual([RTM_NEWLINK, 0]);
  const place = `${data} 08000300 03000000 08000100 01000000 ${address}`;
  const head = `00000000 06000000 ${'00'.repeat(8)}`;
  const want = `${head} ${info} 0a000100 76786c616e000000 ${place}`;
  expect(payloadHex(request)).toBe(want.replaceAll(' ', ''));
  expect(request.command?.()).toBe(`ip link set flannel.1 type vxlan id 1 local ${local} dev eth1`);
});

describe('attributes', () => {
  test.for([
    {
      name: 'an IPv6 underlay, without a port',
      vxlan: { vni: 0xff_ffff, local: parseIp('fd00::1'), learning: true },
      want: `08000100 ffffff00 14001100 fd${'00'.repeat(14)}01 ${BEFORE} 05000700 01000000 ${AFTER}`,
      text: 'id 16777215 local fd00::1 learning',
    },
    {
      name: 'everything that can be asked for',
      vxlan: {
        ...flannels,
        group: parseIp('239.1.1.1'),
        gbp: true,
        udpCsum: false,
        ageingSec: 300,
        collectMetadata: true,
        l2miss: true,
      },
      want:
        `08000100 01000000 08000300 02000000 08000400 c0a8320b 08000200 ef010101 ${BEFORE} 05000700 00000000 ${AFTER.replace('05000d00 00', '05000d00 01')}` +
        '05001200 00000000 04001700 05001900 01000000 08000800 2c010000 06000f00 21180000',
      text: 'id 1 remote 239.1.1.1 local 192.168.50.11 dev if2 dstport 8472 ageing 300 nolearning gbp noudpcsum',
    },
    {
      name: 'an IPv6 group, checksums on',
      vxlan: { vni: 2, group: parseIp('ff05::100'), learning: false, udpCsum: true },
      want: `08000100 02000000 14001000 ff05${'00'.repeat(12)}0100 ${BEFORE} 05000700 00000000 ${AFTER} 05001200 01000000`,
      text: 'id 2 remote ff05::100 nolearning udpcsum',
    },
  ])('of $name', ({ vxlan, want, text }) => {
    expect(dataHex(vxlan)).toBe(want.replaceAll(' ', ''));
    expect(spellVxlan(vxlan)).toBe(text);
  });

  test('are read back as written', () => {
    const ip: fc.Arbitrary<Ip> = fc.oneof(
      fc.bigInt(0n, 2n ** 32n - 1n).map((value): Ip => ({ family: 4, value })),
      fc.bigInt(0n, 2n ** 128n - 1n).map((value): Ip => ({ family: 6, value })),
    );
    const arbitrary: fc.Arbitrary<VxlanAttributes> = fc.record(
      {
        vni: fc.nat(0xff_ffff),
        learning: fc.boolean(),
        ttl: fc.nat(255),
        tos: fc.nat(255),
        proxy: fc.boolean(),
        rsc: fc.boolean(),
        l2miss: fc.boolean(),
        l3miss: fc.boolean(),
        udpZeroCsum6Tx: fc.boolean(),
        udpZeroCsum6Rx: fc.boolean(),
        lowerIndex: fc.nat(0x7fff_ffff),
        local: ip,
        group: ip,
        port: fc.nat(65535),
        udpCsum: fc.boolean(),
        gbp: fc.constant(true),
        collectMetadata: fc.constant(true),
        ageingSec: fc.nat(0xffff_ffff),
      },
      {
        requiredKeys: [
          'vni',
          'learning',
          'ttl',
          'tos',
          'proxy',
          'rsc',
          'l2miss',
          'l3miss',
          'udpZeroCsum6Tx',
          'udpZeroCsum6Rx',
        ],
      },
    );
    fc.assert(
      fc.property(arbitrary, (vxlan) => {
        const message = messageOf(RTM_NEWLINK, (writer) => writeVxlan(writer, vxlan));
        expect(decodeVxlan(message.attributes(0))).toEqual(vxlan);
      }),
    );
  });
});
