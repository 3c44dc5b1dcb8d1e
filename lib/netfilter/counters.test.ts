import { describe, expect, test } from 'vitest';
import { payloadHex } from '../../test/support/netlink-bytes.ts';
import { openFakeNetlink } from '../netlink/fake.ts';
import type { NetlinkRequest } from '../netlink/request.ts';
import type { MessageWriter } from '../netlink/writer.ts';
import { listCounted, listCounters } from './counters.ts';

const table = { family: 'inet', name: 'weft' } as const;

function be64(value: bigint): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, value, false);
  return bytes;
}

function counter(writer: MessageWriter, packets: bigint): void {
  writer.attrBytes(1, be64(packets * 100n));
  writer.attrBytes(2, be64(packets));
}

/** An element that a rule has added, as the kernel lists it: key, expiry, the counter as an expression. */
function element(writer: MessageWriter, key: Uint8Array, packets: bigint, leftMs: bigint): void {
  writer.nest(1, () => {
    writer.nest(1, () => writer.attrBytes(1, key));
    writer.attrBytes(5, be64(leftMs));
    writer.nest(7, () => {
      writer.attrText(1, 'counter');
      writer.nest(2, () => counter(writer, packets));
    });
  });
}

describe('listCounters', () => {
  test('gives the packets of each counter of the table, and none of other tables', () => {
    const asked: NetlinkRequest[] = [];
    const { netlink } = openFakeNetlink((_, replies) => {
      for (const [of, name, packets] of [
        ['weft', 'strangers', 7n],
        ['weft', 'pods', 0n],
        ['somebody', 'strangers', 9n],
      ] as const) {
        replies.message(0x0a12, (writer) => {
          writer.u32(1);
          writer.attrText(1, of);
          writer.attrText(2, name);
          writer.nest(4, () => counter(writer, packets));
        });
      }
    });
    const noting = { ...netlink, dump: spyOn(asked, netlink) };
    expect([...listCounters(noting, table)]).toEqual([
      ['strangers', 7],
      ['pods', 0],
    ]);
    const [request] = asked;
    expect(request === undefined ? '' : payloadHex(request)).toBe('010000000900010077656674000000000800030000000001');
  });
});

function spyOn(asked: NetlinkRequest[], netlink: ReturnType<typeof openFakeNetlink>['netlink']): typeof netlink.dump {
  return (request, parse, absent) => {
    asked.push(request);
    return netlink.dump(request, parse, absent);
  };
}

test('listCounted gives key, packets and remaining time of each element', () => {
  const { netlink } = openFakeNetlink((_, replies) => {
    replies.message(0x0a0c, (writer) => {
      writer.u32(1);
      writer.nest(3, () => {
        element(writer, Uint8Array.of(192, 0, 2, 1), 3n, 60_000n);
        element(writer, Uint8Array.of(192, 0, 2, 2), 5n, 1n);
      });
    });
  });
  expect(listCounted(netlink, { table, set: 'strangers4' })).toEqual([
    { key: Uint8Array.of(192, 0, 2, 1), packets: 3, leftMs: 60_000 },
    { key: Uint8Array.of(192, 0, 2, 2), packets: 5, leftMs: 1 },
  ]);
});
