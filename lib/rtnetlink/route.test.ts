import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { messageFromHex, messageOf, payloadHex, sortedPayload } from '../../test/support/netlink-bytes.ts';
import { type Family, type Ip, parseIp, parsePrefix } from '../ip.ts';
import { openFakeNetlink } from '../netlink/fake.ts';
import { MalformedReply } from '../netlink/reader.ts';
import { EINVAL, ENETUNREACH, ENOENT } from '../sys/errno.ts';
import { addRoute, deleteRoute, getRoute, listRoutes, replaceRoute } from './route.ts';
import { decodeRoute, type RouteSpec, writeRoute } from './route-message.ts';
import { RTM_DELROUTE, RTM_NEWROUTE, RTN_BLACKHOLE, RTN_LOCAL, RTNH_F_ONLINK } from './rtnetlink-constants.ts';

const onlink: RouteSpec = {
  destination: parsePrefix('10.244.2.0/24'),
  gateway: parseIp('10.244.2.0'),
  oif: 4,
  flags: RTNH_F_ONLINK,
};

describe('requests', () => {
  test.for([
    {
      name: "flannel's, as ip route replace … onlink",
      request: replaceRoute(onlink, 'flannel.1'),
      header: [RTM_NEWROUTE, 0x500],
      want: '02180000fe030001 04000000 08000100 0af40200 08000500 0af40200 08000400 04000000',
      tool: '02180000fe03000104000000080001000af40200080005000af402000800040004000000',
      text: 'replace route 10.244.2.0/24 via 10.244.2.0 dev flannel.1 onlink',
      command: 'ip route replace 10.244.2.0/24 via 10.244.2.0 dev flannel.1 onlink',
    },
    {
      name: 'over a next-hop object, as ip route replace … nhid',
      request: replaceRoute({ destination: parsePrefix('10.244.3.0/24'), nexthopId: 5, protocol: 138 }),
      header: [RTM_NEWROUTE, 0x500],
      want: '02180000fe8a0001 00000000 08000100 0af40300 08001e00 05000000',
      tool: '02180000fe8a000100000000080001000af4030008001e0005000000',
      text: 'replace route 10.244.3.0/24 nhid 5',
      command: 'ip route replace 10.244.3.0/24 nhid 5 proto 138',
    },
    {
      name: 'a blackhole, as ip route add blackhole',
      request: addRoute({ destination: parsePrefix('10.244.9.0/24'), type: RTN_BLACKHOLE }),
      header: [RTM_NEWROUTE, 0x600],
      want: '02180000fe030006 00000000 08000100 0af40900',
      tool: '02180000fe03000600000000080001000af40900',
      text: 'add route blackhole 10.244.9.0/24',
      command: 'ip route add blackhole 10.244.9.0/24',
    },
    {
      name: 'direct, with MTU and metric, as ip route add … mtu 1300 metric 7',
      request: addRoute({ destination: parsePrefix('10.5.0.0/16'), oif: 4, mtu: 1300, priority: 7 }, 'flannel.1'),
      header: [RTM_NEWROUTE, 0x600],
      want: '02100000fe03fd01 00000000 08000100 0a050000 08000400 04000000 08000600 07000000 0c000800 08000200 14050000',
      tool: '02100000fe03fd0100000000080001000a050000080006000700000008000400040000000c0008000800020014050000',
      text: 'add route 10.5.0.0/16 dev flannel.1',
      command: 'ip route add 10.5.0.0/16 dev flannel.1 metric 7 mtu 1300',
    },
    {
      name: 'the default, with a source and an advertised MSS',
      request: addRoute({
        destination: parsePrefix('0.0.0.0/0'),
        gateway: parseIp('10.0.0.1'),
        prefSrc: parseIp('10.0.0.9'),
        advmss: 1400,
      }),
      header: [RTM_NEWROUTE, 0x600],
      want: '02000000fe030001 00000000 08000500 0a000001 08000700 0a000009 0c000800 08000800 78050000',
      text: 'add route default via 10.0.0.1',
      command: 'ip route add default via 10.0.0.1 src 10.0.0.9 advmss 1400',
    },
    {
      name: 'in a table beyond the header, local',
      request: addRoute({ destination: parsePrefix('fd00:2::/64'), oif: 3, table: 1000, type: RTN_LOCAL }),
      header: [RTM_NEWROUTE, 0x600],
      want: `0a4000000003fe02 00000000 14000100 fd000002${'00'.repeat(12)} 08000400 03000000 08000f00 e8030000`,
      text: 'add route local fd00:2::/64 dev if3',
      command: 'ip route add local fd00:2::/64 dev if3 table 1000',
    },
    {
      name: 'delete, as ip route del',
      request: deleteRoute({ destination: parsePrefix('10.5.0.0/16'), oif: 4 }, 'flannel.1'),
      header: [RTM_DELROUTE, 0],
      want: '02100000fe00ff00 00000000 08000100 0a050000 08000400 04000000',
      tool: '02100000fe00ff0000000000080001000a0500000800040004000000',
      text: 'delete route 10.5.0.0/16 dev flannel.1',
      command: 'ip route del 10.5.0.0/16 dev flannel.1',
    },
  ])('$name', ({ request, header, want, tool, text, command }) => {
    expect([request.type, request.flags]).toEqual(header);
    expect(payloadHex(request)).toBe(want.replaceAll(' ', ''));
    if (tool !== undefined) expect(sortedPayload(payloadHex(request), 12)).toBe(sortedPayload(tool, 12));
    expect(request.describe()).toBe(text);
    expect(request.command?.()).toBe(command);
  });
});

function ipOf(family: Family): fc.Arbitrary<Ip> {
  return fc.bigInt(0n, 2n ** (family === 4 ? 32n : 128n) - 1n).map((value) => ({ family, value }));
}

describe('decodeRoute', () => {
  test('inverts writeRoute', () => {
    const arbitrary = fc.constantFrom<Family>(4, 6).chain((family) =>
      fc.record(
        {
          destination: fc
            .record({ ip: ipOf(family), length: fc.nat(family === 4 ? 32 : 128) })
            .map((prefix) => (prefix.length === 0 ? { ...prefix, ip: { family, value: 0n } } : prefix)),
          gateway: ipOf(family),
          oif: fc.nat(0x7fff_ffff),
          nexthopId: fc.nat(0x7fff_ffff),
          table: fc.integer({ min: 1, max: 0xffff_ffff }),
          protocol: fc.nat(255),
          scope: fc.nat(255),
          type: fc.nat(11),
          flags: fc.nat(0xffff),
          priority: fc.nat(0xffff_ffff),
          prefSrc: ipOf(family),
          mtu: fc.nat(65535),
          advmss: fc.nat(65535),
        },
        { requiredKeys: ['destination', 'table', 'protocol', 'scope', 'type', 'flags'] },
      ),
    );
    fc.assert(
      fc.property(arbitrary, (route) => {
        const decoded = decodeRoute(messageOf(RTM_NEWROUTE, (writer) => writeRoute(writer, route, 0, 0, 0)));
        expect(decoded).toEqual({ family: route.destination.ip.family, ...route });
      }),
    );
  });

  test('reads the hops of a multipath route', () => {
    // default nexthop via 10.0.0.1 dev if2 weight 1 nexthop via inet6 fe80::1 dev if3 weight 5 onlink
    const via = `18001200 0a00fe80${'00'.repeat(13)}01 0000`.replaceAll(' ', '');
    const hops = `10000000 02000000 08000500 0a000001 20000404 03000000 ${via}`.replaceAll(' ', '');
    const length = (hops.length / 2 + 4).toString(16).padStart(2, '0');
    const payload = `02000000fe030001 00000000 ${length}000900 ${hops}`;
    expect(decodeRoute(messageFromHex(RTM_NEWROUTE, payload))?.hops).toEqual([
      { oif: 2, flags: 0, weight: 1, gateway: parseIp('10.0.0.1') },
      { oif: 3, flags: 4, weight: 5, gateway: parseIp('fe80::1') },
    ]);
  });

  test('reads an IPv6 gateway of an IPv4 route', () => {
    const payload = `02180000fe030001 00000000 08000100 0af40200 16001200 0a00fe80${'00'.repeat(13)}01 0000`;
    expect(decodeRoute(messageFromHex(RTM_NEWROUTE, payload))?.gateway).toEqual(parseIp('fe80::1'));
  });

  test.for([
    { name: 'hop of no length', hops: '00000000 02000000' },
    { name: 'hop beyond the end', hops: '10000000 02000000' },
    { name: 'rest shorter than a hop', hops: '08000000 02000000 00000000' },
  ])('refuses a $name', ({ hops }) => {
    const hex = hops.replaceAll(' ', '');
    const length = (hex.length / 2 + 4).toString(16).padStart(2, '0');
    const payload = `02000000fe030001 00000000 ${length}000900 ${hex}`;
    expect(() => decodeRoute(messageFromHex(RTM_NEWROUTE, payload))).toThrow(MalformedReply);
  });

  test('leaves out other families', () => {
    expect(decodeRoute(messageFromHex(RTM_NEWROUTE, '80180000fe030001 00000000'))).toBeUndefined();
  });
});

describe('listRoutes', () => {
  test('lets the kernel filter, and filters what a kernel that cannot sends', () => {
    const routes: RouteSpec[] = [
      { ...onlink, protocol: 138 },
      { ...onlink, protocol: 3 },
      { ...onlink, protocol: 138, oif: 5 },
      { ...onlink, protocol: 138, table: 255 },
      { destination: parsePrefix('fd00::/64'), oif: 4, protocol: 138 },
    ];
    const { netlink, transport } = openFakeNetlink((_, replies) => {
      for (const route of routes) replies.message(RTM_NEWROUTE, (writer) => writeRoute(writer, route, 0, 0, 0));
    });
    const listed = listRoutes(netlink, { family: 4, oif: 4, table: 254, protocol: 138 });
    expect(listed).toEqual([{ family: 4, scope: 0, type: 0, table: 254, ...onlink, protocol: 138 }]);
    expect(Buffer.from(transport.sent[0]?.subarray(16) ?? []).toString('hex')).toBe(
      '02000000008a0000000000000' + '8000f00fe000000' + '0800040004000000',
    );
    expect(listRoutes(netlink, { family: 6 })).toHaveLength(1);
  });

  test('finds a multipath route by any of its hops', () => {
    const { netlink } = openFakeNetlink((_, replies) => {
      replies.message(RTM_NEWROUTE, (writer) => {
        for (const byte of Buffer.from(
          '02000000fe0300010000000014000900' + '0800000002000000' + '0800000003000000',
          'hex',
        )) {
          writer.u8(byte);
        }
      });
    });
    expect([2, 3, 4].map((oif) => listRoutes(netlink, { family: 4, oif }).length)).toEqual([1, 1, 0]);
  });

  test('a table that does not exist is empty', () => {
    const { netlink } = openFakeNetlink((_, replies) => replies.error(ENOENT));
    expect(listRoutes(netlink, { family: 4, table: 77 })).toEqual([]);
  });
});

describe('getRoute', () => {
  test('asks for one address, on a device where told', () => {
    const { netlink, transport } = openFakeNetlink((_, replies) =>
      replies.message(RTM_NEWROUTE, (writer) => writeRoute(writer, onlink, 0, 0, 0)),
    );
    expect(getRoute(netlink, parseIp('10.244.2.9'))).toMatchObject({ gateway: onlink.gateway, oif: 4 });
    getRoute(netlink, parseIp('10.244.2.9'), { entry: true, oif: 4 });
    // IPv6 refuses the flag that IPv4 needs to say the table.
    getRoute(netlink, parseIp('fd00::9'));
    getRoute(netlink, parseIp('fd00::9'), { entry: true });
    expect(transport.sent.map((bytes) => Buffer.from(bytes.subarray(16)).toString('hex'))).toEqual([
      '0220000000000000' + '00100000' + '080001000af40209',
      '0220000000000000' + '00300000' + '080001000af40209' + '0800040004000000',
      '0a80000000000000' + '00000000' + '14000100fd000000000000000000000000000009',
      '0a80000000000000' + '00200000' + '14000100fd000000000000000000000000000009',
    ]);
  });

  test('is undefined when unreachable, and throws any other error', () => {
    let errno = ENETUNREACH;
    const { netlink } = openFakeNetlink((_, replies) => replies.error(errno));
    expect(getRoute(netlink, parseIp('8.8.8.8'))).toBeUndefined();
    errno = EINVAL;
    expect(() => getRoute(netlink, parseIp('8.8.8.8'))).toThrow('rtnetlink: get route to 8.8.8.8: EINVAL');
  });
});
