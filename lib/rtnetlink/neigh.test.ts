import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { messageFromHex, messageOf, payloadHex, sortedPayload } from '../../test/support/netlink-bytes.ts';
import { type Ip, parseIp } from '../ip.ts';
import { macFromBytes, parseMac } from '../mac.ts';
import { openFakeNetlink } from '../netlink/fake.ts';
import { MalformedReply } from '../netlink/reader.ts';
import { addNeigh, decodeNeigh, deleteNeigh, listNeighs, replaceNeigh, writeNeigh } from './neigh.ts';
import { AF_INET, NDA_IFINDEX, NUD_NOARP, NUD_STALE, RTM_DELNEIGH, RTM_NEWNEIGH } from './rtnetlink-constants.ts';

const flannels = { index: 4, destination: parseIp('10.244.2.0'), mac: parseMac('02:00:00:00:01:02') };

describe('requests', () => {
  test.for([
    {
      // ip(8) leaves ndm_type 0 where flannel and Weft write RTN_UNICAST; the kernel ignores it.
      name: 'replace, as ip neigh replace … nud permanent',
      request: replaceNeigh(flannels, 'flannel.1'),
      header: [RTM_NEWNEIGH, 0x500],
      want: '0200000004000000 8000 00 01 08000100 0af40200 0a000200 020000000102 0000',
      tool: '020000000400000080000000080001000af402000a0002000200000001020000',
      text: 'replace neigh 10.244.2.0 lladdr 02:00:00:00:01:02 dev flannel.1',
      command: 'ip neigh replace 10.244.2.0 lladdr 02:00:00:00:01:02 dev flannel.1 nud permanent',
    },
    {
      name: 'add, of IPv6, static',
      request: addNeigh({ ...flannels, destination: parseIp('fd00::2'), state: NUD_NOARP }),
      header: [RTM_NEWNEIGH, 0x600],
      want: '0a00000004000000 4000 00 01 14000100 fd000000000000000000000000000002 0a000200 020000000102 0000',
      text: 'add neigh fd00::2 lladdr 02:00:00:00:01:02 dev if4',
      command: 'ip neigh add fd00::2 lladdr 02:00:00:00:01:02 dev if4 nud noarp',
    },
    {
      name: 'delete, as ip neigh del',
      request: deleteNeigh({ index: 4, destination: parseIp('10.244.2.0') }, 'flannel.1'),
      header: [RTM_DELNEIGH, 0],
      want: '0200000004000000 8000 00 01 08000100 0af40200',
      tool: '020000000400000080000000080001000af40200',
      text: 'delete neigh 10.244.2.0 dev flannel.1',
      command: 'ip neigh del 10.244.2.0 dev flannel.1',
    },
  ])('$name', ({ request, header, want, tool, text, command }) => {
    expect([request.type, request.flags]).toEqual(header);
    expect(payloadHex(request)).toBe(want.replaceAll(' ', ''));
    if (tool !== undefined) {
      const withType = `${tool.slice(0, 22)}01${tool.slice(24)}`;
      expect(sortedPayload(payloadHex(request), 12)).toBe(sortedPayload(withType, 12));
    }
    expect(request.describe()).toBe(text);
    expect(request.command?.()).toBe(command);
  });
});

describe('decodeNeigh', () => {
  test('inverts writeNeigh', () => {
    const ip: fc.Arbitrary<Ip> = fc.oneof(
      fc.bigInt(0n, 2n ** 32n - 1n).map((value): Ip => ({ family: 4, value })),
      fc.bigInt(0n, 2n ** 128n - 1n).map((value): Ip => ({ family: 6, value })),
    );
    const mac = fc.uint8Array({ minLength: 6, maxLength: 6 }).map(macFromBytes);
    const arbitrary = fc.record(
      { index: fc.nat(0x7fff_ffff), destination: ip, mac, state: fc.nat(0xff), flags: fc.nat(0xff) },
      { requiredKeys: ['index', 'destination', 'state', 'flags'] },
    );
    fc.assert(
      fc.property(arbitrary, (neigh) => {
        const decoded = decodeNeigh(messageOf(RTM_NEWNEIGH, (writer) => writeNeigh(writer, neigh)));
        expect(decoded).toEqual({ family: neigh.destination.family, ...neigh });
      }),
    );
  });

  test('reads what the kernel sends', () => {
    // 10.244.2.0 dev if4 lladdr 02:00:00:00:01:02 PERMANENT with NDA_PROBES and NDA_CACHEINFO.
    const payload =
      '02000000 04000000 80000001 08000100 0af40200 0a000200 02000000 01020000 08000400 00000000' +
      '14000300 05000000 05000000 05000000 00000000';
    expect(decodeNeigh(messageFromHex(RTM_NEWNEIGH, payload))).toEqual({
      family: 4,
      index: 4,
      destination: parseIp('10.244.2.0'),
      mac: '02:00:00:00:01:02',
      state: 0x80,
      flags: 0,
    });
  });

  test.for([
    { name: 'FDB entries', payload: '07000000 04000000 80000200 0a000200 02000000 01020000' },
    { name: 'an entry without an address', payload: '02000000 04000000 80000001' },
  ])('leaves out $name', ({ payload }) => {
    expect(decodeNeigh(messageFromHex(RTM_NEWNEIGH, payload))).toBeUndefined();
  });

  test.for([
    { name: 'a struct cut short', payload: '02000000 04000000' },
    { name: 'an address of 5 bytes', payload: '02000000 04000000 80000001 09000100 0102030405000000' },
  ])('refuses $name', ({ payload }) => {
    expect(() => decodeNeigh(messageFromHex(RTM_NEWNEIGH, payload))).toThrow(MalformedReply);
  });
});

describe('listNeighs', () => {
  test('lets the kernel filter, and filters what a kernel that cannot sends', () => {
    const other = { ...flannels, index: 5 };
    const six = { ...flannels, destination: parseIp('fd00::2') };
    const { netlink, transport } = openFakeNetlink((_, replies) => {
      for (const neigh of [flannels, other, six, { ...flannels, state: NUD_STALE }]) {
        replies.message(RTM_NEWNEIGH, (writer) => writeNeigh(writer, neigh));
      }
    });
    const listed = listNeighs(netlink, { index: 4, family: 4 });
    expect(listed.map(({ index, family, state }) => [index, family, state])).toEqual([
      [4, 4, 0x80],
      [4, 4, NUD_STALE],
    ]);
    const sent = transport.sent[0] ?? new Uint8Array();
    // ndmsg {AF_INET}, all else 0 for strict checking, then NDA_IFINDEX 4.
    expect([...sent.subarray(16)]).toEqual([AF_INET, ...Array(11).fill(0), 8, 0, NDA_IFINDEX, 0, 4, 0, 0, 0]);
    expect(listNeighs(netlink)).toHaveLength(4);
  });
});
