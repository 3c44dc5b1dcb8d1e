import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { messageFromHex, messageOf, payloadHex, sortedPayload } from '../../test/support/netlink-bytes.ts';
import { type Ip, parseIp } from '../ip.ts';
import { openFakeNetlink } from '../netlink/fake.ts';
import { addAddress, decodeAddress, deleteAddress, listAddresses, replaceAddress, writeAddress } from './address.ts';
import { IFA_F_NODAD, IFA_F_NOPREFIXROUTE, RT_SCOPE_LINK, RTM_DELADDR, RTM_NEWADDR } from './rtnetlink-constants.ts';

describe('requests', () => {
  test.for([
    {
      name: "the VTEP's, as ip addr add",
      request: addAddress({ index: 4, ip: parseIp('10.244.1.0'), length: 32 }, 'flannel.1'),
      header: [RTM_NEWADDR, 0x600],
      want: '02200000 04000000 08000200 0af40100 08000100 0af40100',
      tool: '0220000004000000080002000af40100080001000af40100',
      text: 'add address 10.244.1.0/32 dev flannel.1',
      command: 'ip addr add 10.244.1.0/32 dev flannel.1',
    },
    {
      name: "the bridge's, with broadcast, as ip addr add",
      request: addAddress(
        { index: 3, ip: parseIp('10.244.1.1'), length: 24, broadcast: parseIp('10.244.1.255') },
        'cni0',
      ),
      header: [RTM_NEWADDR, 0x600],
      want: '02180000 03000000 08000200 0af40101 08000100 0af40101 08000400 0af401ff',
      tool: '0218000003000000080002000af40101080004000af401ff080001000af40101',
      text: 'add address 10.244.1.1/24 dev cni0',
      command: 'ip addr add 10.244.1.1/24 broadcast 10.244.1.255 dev cni0',
    },
    {
      name: 'IPv6 without duplicate address detection, as ip -6 addr add … nodad',
      request: addAddress({ index: 3, ip: parseIp('fd00::1'), length: 64, flags: IFA_F_NODAD }),
      header: [RTM_NEWADDR, 0x600],
      want: `0a400200 03000000 14000200 fd${'00'.repeat(14)}01 14000100 fd${'00'.repeat(14)}01`,
      tool: '0a4002000300000014000200fd00000000000000000000000000000114000100fd000000000000000000000000000001',
      text: 'add address fd00::1/64 dev if3',
      command: 'ip addr add fd00::1/64 dev if3 nodad',
    },
    {
      name: 'replace, with a label, a scope and a flag the header has no room for',
      request: replaceAddress(
        {
          index: 3,
          ip: parseIp('10.1.2.3'),
          length: 8,
          label: 'e:1',
          scope: RT_SCOPE_LINK,
          flags: IFA_F_NOPREFIXROUTE,
        },
        'e',
      ),
      header: [RTM_NEWADDR, 0x500],
      want: '020800fd 03000000 08000200 0a010203 08000100 0a010203 08000300 653a3100 08000800 00020000',
      text: 'replace address 10.1.2.3/8 dev e',
      command: 'ip addr replace 10.1.2.3/8 dev e scope link label e:1 noprefixroute',
    },
    {
      name: 'delete',
      request: deleteAddress({ index: 3, ip: parseIp('10.1.2.3'), length: 8 }, 'e'),
      header: [RTM_DELADDR, 0],
      want: '02080000 03000000 08000200 0a010203 08000100 0a010203',
      text: 'delete address 10.1.2.3/8 dev e',
      command: 'ip addr del 10.1.2.3/8 dev e',
    },
  ])('$name', ({ request, header, want, tool, text, command }) => {
    expect([request.type, request.flags]).toEqual(header);
    expect(payloadHex(request)).toBe(want.replaceAll(' ', ''));
    if (tool !== undefined) expect(sortedPayload(payloadHex(request), 8)).toBe(sortedPayload(tool, 8));
    expect(request.describe()).toBe(text);
    expect(request.command?.()).toBe(command);
  });
});

describe('decodeAddress', () => {
  test('inverts writeAddress', () => {
    const ip: fc.Arbitrary<Ip> = fc.oneof(
      fc.bigInt(0n, 2n ** 32n - 1n).map((value): Ip => ({ family: 4, value })),
      fc.bigInt(0n, 2n ** 128n - 1n).map((value): Ip => ({ family: 6, value })),
    );
    const arbitrary = fc.record(
      {
        index: fc.nat(0xffff_ffff),
        ip,
        length: fc.nat(128),
        scope: fc.nat(255),
        flags: fc.nat(0xffff),
        broadcast: ip,
        label: fc.stringMatching(/^[!-~]{1,15}$/).filter((text) => !text.includes('\x7f')),
      },
      { requiredKeys: ['index', 'ip', 'length', 'scope', 'flags'] },
    );
    fc.assert(
      fc.property(arbitrary, (address) => {
        const decoded = decodeAddress(messageOf(RTM_NEWADDR, (writer) => writeAddress(writer, address)));
        expect(decoded).toEqual({ family: address.ip.family, ...address });
      }),
    );
  });

  test.for([
    {
      name: 'the near end of a point-to-point address',
      payload: '02200000 03000000 08000100 0a000002 08000200 0a000001',
      want: parseIp('10.0.0.1'),
    },
    {
      name: 'an IPv6 address, which has no IFA_LOCAL',
      payload: `0a400000 03000000 14000100 fd${'00'.repeat(14)}01`,
      want: parseIp('fd00::1'),
    },
  ])('reads $name', ({ payload, want }) => {
    expect(decodeAddress(messageFromHex(RTM_NEWADDR, payload))?.ip).toEqual(want);
  });

  test.for([
    { name: 'other families', payload: '1c080000 03000000 08000200 0a010203' },
    { name: 'an address without an address', payload: '02080000 03000000' },
  ])('leaves out $name', ({ payload }) => {
    expect(decodeAddress(messageFromHex(RTM_NEWADDR, payload))).toBeUndefined();
  });
});

test('listAddresses lets the kernel filter, and filters what a kernel that cannot sends', () => {
  const { netlink, transport } = openFakeNetlink((_, replies) => {
    for (const [index, text] of [
      [3, '10.0.0.1'],
      [4, '10.0.0.2'],
      [3, 'fd00::1'],
    ] as const) {
      replies.message(RTM_NEWADDR, (writer) => writeAddress(writer, { index, ip: parseIp(text), length: 24 }));
    }
  });
  expect(listAddresses(netlink, { index: 3, family: 4 }).map(({ ip }) => ip)).toEqual([parseIp('10.0.0.1')]);
  expect([...(transport.sent[0]?.subarray(16) ?? [])]).toEqual([2, 0, 0, 0, 3, 0, 0, 0]);
  expect(listAddresses(netlink)).toHaveLength(3);
});
