import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { payloadHex } from '../../test/support/netlink-bytes.ts';
import { type Ip, parseIp } from '../ip.ts';
import { openFakeNetlink } from '../netlink/fake.ts';
import type { MessageWriter } from '../netlink/writer.ts';
import { EPERM } from '../sys/errno.ts';
import {
  type Connection,
  deleteConnection,
  leadsTo,
  listConnectionsBetween,
  listUdpConnections,
  type Tuple,
} from './conntrack.ts';
import { IPCTNL_MSG_CT_GET } from './nf-tables-constants.ts';

const tuple = (
  source: string,
  destination: string,
  sourcePort: number,
  destinationPort: number,
  protocol = 17,
): Tuple => ({
  source: parseIp(source),
  destination: parseIp(destination),
  protocol,
  sourcePort,
  destinationPort,
});

const dnatted: Connection = {
  family: 4,
  original: tuple('192.0.2.7', '192.0.2.1', 40_000, 8080),
  reply: tuple('10.0.0.2', '192.0.2.7', 80, 40_000),
  id: Uint8Array.of(1, 2, 3, 4),
  zone: undefined,
  isAnswered: true,
};

/** A connection as the kernel describes it: both tuples, the status, the id, and the zone if it has one. */
function writeConnection(writer: MessageWriter, { family, original, reply, id, zone, isAnswered }: Connection): void {
  writer.u32(family === 4 ? 2 : 10);
  for (const [type, one] of [
    [1, original],
    [2, reply],
  ] as const) {
    writer.nest(type, () => {
      writer.nest(1, () => {
        writer.attrIp(family === 4 ? 1 : 3, one.source);
        writer.attrIp(family === 4 ? 2 : 4, one.destination);
      });
      writer.nest(2, () => {
        writer.attrU8(1, one.protocol);
        writer.attrU16be(2, one.sourcePort);
        writer.attrU16be(3, one.destinationPort);
      });
    });
  }
  writer.attrBytes(3, Uint8Array.of(0, 0, 0, isAnswered ? 0x0a : 0x08));
  writer.attrBytes(12, id);
  if (zone !== undefined) writer.attrBytes(18, zone);
}

function listed(connections: readonly Connection[], port: number, family: 4 | 6 = 4): Connection[] {
  const { netlink } = openFakeNetlink((request, replies) => {
    expect(request.type).toBe(IPCTNL_MSG_CT_GET);
    for (const one of connections) replies.message(0x0100, (writer) => writeConnection(writer, one));
  });
  return listUdpConnections(netlink, family, port);
}

const ip4 = fc.nat(0xffff_ffff).map((value): Ip => ({ family: 4, value: BigInt(value) }));
const ip6 = fc.bigInt({ min: 0n, max: 2n ** 128n - 1n }).map((value): Ip => ({ family: 6, value }));
const port = fc.nat(65_535);
const tuples = (ip: fc.Arbitrary<Ip>): fc.Arbitrary<Tuple> =>
  fc.record({
    source: ip,
    destination: ip,
    protocol: fc.constant(17),
    sourcePort: port,
    destinationPort: fc.constant(53),
  });
const connection = fc.oneof(
  ...([4, 6] as const).map((family) => {
    const ip = family === 4 ? ip4 : ip6;
    return fc.record({
      family: fc.constant(family),
      original: tuples(ip),
      reply: tuples(ip),
      id: fc.uint8Array({ minLength: 4, maxLength: 4 }),
      zone: fc.option(fc.uint8Array({ minLength: 2, maxLength: 2 }), { nil: undefined }),
      isAnswered: fc.boolean(),
    });
  }),
);

describe('listUdpConnections', () => {
  test('reads every field that the kernel may send of a connection', () => {
    fc.assert(
      fc.property(connection, (one) => {
        expect(listed([one], 53, one.family)).toEqual([one]);
      }),
    );
  });

  test('leaves out other ports and protocols where the kernel does not filter', () => {
    const others = [
      { ...dnatted, original: { ...dnatted.original, destinationPort: 8081 } },
      { ...dnatted, original: { ...dnatted.original, sourcePort: 8080, destinationPort: 40_000 } },
      { ...dnatted, original: { ...dnatted.original, protocol: 6 } },
    ];
    expect(listed([...others, dnatted], 8080)).toEqual([dnatted]);
  });

  test('fails with the port when the kernel refuses', () => {
    const { netlink } = openFakeNetlink((_, replies) => replies.error(EPERM));
    expect(() => listUdpConnections(netlink, 4, 53)).toThrow('list connections to udp port 53: EPERM');
  });
});

describe('listConnectionsBetween', () => {
  const between = (connections: readonly Connection[]): Connection[] => {
    const { netlink } = openFakeNetlink((_, replies) => {
      for (const one of connections) replies.message(0x0100, (writer) => writeConnection(writer, one));
    });
    return listConnectionsBetween(netlink, parseIp('192.0.2.7'), parseIp('192.0.2.1'));
  };

  test('says of each whether it was answered, and leaves out other endpoints where the kernel does not filter', () => {
    const silent = { ...dnatted, isAnswered: false };
    const others = [
      { ...dnatted, original: tuple('192.0.2.8', '192.0.2.1', 40_000, 8080) },
      { ...dnatted, original: tuple('192.0.2.7', '192.0.2.2', 40_000, 8080) },
    ];
    expect(between([...others, dnatted, silent])).toEqual([dnatted, silent]);
  });
});

test('leadsTo compares the address that answers, not the one that was asked', () => {
  expect(leadsTo(dnatted, parseIp('10.0.0.2'))).toBe(true);
  expect(leadsTo(dnatted, dnatted.original.destination)).toBe(false);
});

test('deleteConnection sends original tuple, id and zone as they were received', () => {
  const zoned = { ...dnatted, zone: Uint8Array.of(0, 7) };
  const want = [
    '02000000',
    '34000180 14000180 08000100 c0000207 08000200 c0000201',
    '1c000280 05000100 11000000 06000200 9c400000 06000300 1f900000',
    '08000c00 01020304 06001200 00070000',
  ];
  expect(payloadHex(deleteConnection(zoned))).toBe(want.join('').replaceAll(' ', ''));
  const six: Connection = { ...dnatted, family: 6, original: tuple('fd00::7', 'fd00::1', 1, 2) };
  expect(payloadHex(deleteConnection(six))).toContain(`14000300${'fd'.padEnd(31, '0')}7`);
});
