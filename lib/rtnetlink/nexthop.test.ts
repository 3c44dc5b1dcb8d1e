import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { messageFromHex, messageOf, payloadHex, sortedPayload } from '../../test/support/netlink-bytes.ts';
import { parseIp } from '../ip.ts';
import { openFakeNetlink } from '../netlink/fake.ts';
import { addNexthop, decodeNexthop, deleteNexthop, listNexthops, replaceNexthop, writeNexthop } from './nexthop.ts';
import { RTM_DELNEXTHOP, RTM_NEWNEXTHOP, RTNH_F_ONLINK } from './rtnetlink-constants.ts';

const ours = { id: 5, gateway: parseIp('10.244.2.0'), oif: 4, flags: RTNH_F_ONLINK, protocol: 138 };

describe('requests', () => {
  test.for([
    {
      name: 'replace, as ip nexthop replace … onlink',
      request: replaceNexthop(ours, 'flannel.1'),
      header: [RTM_NEWNEXTHOP, 0x500],
      want: '02008a00 04000000 08000100 05000000 08000600 0af40200 08000500 04000000',
      tool: '02008a00040000000800010005000000080006000af402000800050004000000',
      text: 'replace nexthop id 5 via 10.244.2.0 dev flannel.1 onlink',
      command: 'ip nexthop replace id 5 via 10.244.2.0 dev flannel.1 onlink proto 138',
    },
    {
      name: 'add, of IPv6',
      request: addNexthop({ id: 6, gateway: parseIp('fd00::2'), oif: 4 }),
      header: [RTM_NEWNEXTHOP, 0x600],
      want: `0a000300 00000000 08000100 06000000 14000600 fd${'00'.repeat(14)}02 08000500 04000000`,
      text: 'add nexthop id 6 via fd00::2 dev if4',
      command: 'ip nexthop add id 6 via fd00::2 dev if4',
    },
    {
      name: 'add, a blackhole',
      request: addNexthop({ id: 7, blackhole: true, family: 6 }),
      header: [RTM_NEWNEXTHOP, 0x600],
      want: '0a000300 00000000 08000100 07000000 04000400',
      text: 'add nexthop id 7 blackhole',
      command: 'ip nexthop add id 7 blackhole',
    },
    {
      name: 'delete, as ip nexthop del',
      request: deleteNexthop(5),
      header: [RTM_DELNEXTHOP, 0],
      want: '00000000 00000000 08000100 05000000',
      tool: '00000000000000000800010005000000',
      text: 'delete nexthop id 5',
      command: 'ip nexthop del id 5',
    },
  ])('$name', ({ request, header, want, tool, text, command }) => {
    expect([request.type, request.flags]).toEqual(header);
    expect(payloadHex(request)).toBe(want.replaceAll(' ', ''));
    if (tool !== undefined) expect(sortedPayload(payloadHex(request), 8)).toBe(sortedPayload(tool, 8));
    expect(request.describe()).toBe(text);
    expect(request.command?.()).toBe(command);
  });
});

describe('decodeNexthop', () => {
  test('inverts writeNexthop', () => {
    const gateway = fc.bigInt(0n, 2n ** 128n - 1n).map((value) => ({ family: 6 as const, value }));
    const arbitrary = fc.record(
      {
        id: fc.nat(0xffff_ffff),
        protocol: fc.nat(255),
        flags: fc.nat(255),
        gateway,
        oif: fc.nat(0x7fff_ffff),
        family: fc.constant(6 as const),
        blackhole: fc.constant(true),
      },
      { requiredKeys: ['id', 'protocol', 'flags', 'family'] },
    );
    fc.assert(
      fc.property(arbitrary, (nexthop) => {
        const decoded = decodeNexthop(messageOf(RTM_NEWNEXTHOP, (writer) => writeNexthop(writer, nexthop)));
        expect(decoded).toEqual(nexthop);
      }),
    );
  });

  test('recognizes a group, which has no family', () => {
    const payload = '00000300 00000000 08000100 09000000 0c000200 0500000000000000 06000300 00000000';
    expect(decodeNexthop(messageFromHex(RTM_NEWNEXTHOP, payload))).toEqual({
      id: 9,
      protocol: 3,
      flags: 0,
      group: true,
    });
  });
});

test('listNexthops lets the kernel filter, and filters what a kernel that cannot sends', () => {
  const { netlink, transport } = openFakeNetlink((_, replies) => {
    for (const oif of [4, 5]) replies.message(RTM_NEWNEXTHOP, (writer) => writeNexthop(writer, { ...ours, oif }));
  });
  expect(listNexthops(netlink, { oif: 4 })).toEqual([{ ...ours, family: 4 }]);
  expect([...(transport.sent[0]?.subarray(16) ?? [])]).toEqual([...Array(8).fill(0), 8, 0, 5, 0, 4, 0, 0, 0]);
  expect(listNexthops(netlink)).toHaveLength(2);
});
