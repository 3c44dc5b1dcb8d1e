import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { messageFromHex, messageOf, payloadHex, sortedPayload } from '../../test/support/netlink-bytes.ts';
import { parseIp } from '../ip.ts';
import { macFromBytes, parseMac } from '../mac.ts';
import { openFakeNetlink } from '../netlink/fake.ts';
import { addFdb, appendFdb, decodeFdb, deleteFdb, listFdb, replaceFdb, writeFdb } from './fdb.ts';
import { NTF_MASTER, NTF_SELF, NUD_NOARP, NUD_PERMANENT, RTM_DELNEIGH, RTM_NEWNEIGH } from './rtnetlink-constants.ts';

const flannels = { index: 4, mac: parseMac('02:00:00:00:01:02'), destination: parseIp('192.168.50.12') };

describe('requests', () => {
  test.for([
    {
      // bridge(8) sends NUD_NOARP|NUD_PERMANENT and ndm_type 0; flannel and Weft send NUD_PERMANENT and 1.
      name: 'replace, as bridge fdb replace … self permanent',
      request: replaceFdb({ ...flannels, state: NUD_PERMANENT | NUD_NOARP }, 'flannel.1'),
      header: [RTM_NEWNEIGH, 0x500],
      want: '0700000004000000 c000 02 01 08000100 c0a8320c 0a000200 020000000102 0000',
      tool: '0700000004000000c00002000a000200020000000102000008000100c0a8320c',
      text: 'replace fdb 02:00:00:00:01:02 dst 192.168.50.12 dev flannel.1',
      command: 'bridge fdb replace 02:00:00:00:01:02 dev flannel.1 dst 192.168.50.12 self permanent',
    },
    {
      name: 'add, as flannel sends it',
      request: addFdb(flannels, 'flannel.1'),
      header: [RTM_NEWNEIGH, 0x600],
      want: '0700000004000000 8000 02 01 08000100 c0a8320c 0a000200 020000000102 0000',
      text: 'add fdb 02:00:00:00:01:02 dst 192.168.50.12 dev flannel.1',
      command: 'bridge fdb add 02:00:00:00:01:02 dev flannel.1 dst 192.168.50.12 self permanent',
    },
    {
      name: 'append, with its own port and VNI',
      request: appendFdb({ ...flannels, port: 4789, vni: 7 }),
      header: [RTM_NEWNEIGH, 0xc00],
      want: '0700000004000000 8000 02 01 08000100 c0a8320c 0a000200 020000000102 0000 06000600 12b50000 08000700 07000000',
      text: 'append fdb 02:00:00:00:01:02 dst 192.168.50.12 dev if4',
      command: 'bridge fdb append 02:00:00:00:01:02 dev if4 dst 192.168.50.12 port 4789 vni 7 self permanent',
    },
    {
      name: 'delete, as bridge fdb del … self',
      request: deleteFdb({ ...flannels, state: NUD_PERMANENT | NUD_NOARP }, 'flannel.1'),
      header: [RTM_DELNEIGH, 0],
      want: '0700000004000000 c000 02 01 08000100 c0a8320c 0a000200 020000000102 0000',
      tool: '0700000004000000c00002000a000200020000000102000008000100c0a8320c',
      text: 'delete fdb 02:00:00:00:01:02 dst 192.168.50.12 dev flannel.1',
      command: 'bridge fdb del 02:00:00:00:01:02 dev flannel.1 dst 192.168.50.12 self',
    },
    {
      name: "add to a bridge's table",
      request: addFdb({ index: 9, mac: flannels.mac, vlan: 5, flags: NTF_MASTER, state: NUD_NOARP }, 'veth0'),
      header: [RTM_NEWNEIGH, 0x600],
      want: '0700000009000000 4000 04 01 0a000200 020000000102 0000 06000500 05000000',
      text: 'add fdb 02:00:00:00:01:02 dev veth0',
      command: 'bridge fdb add 02:00:00:00:01:02 dev veth0 vlan 5 master static',
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

describe('decodeFdb', () => {
  test('inverts writeFdb', () => {
    const destination = fc.bigInt(0n, 2n ** 32n - 1n).map((value) => ({ family: 4 as const, value }));
    const arbitrary = fc.record(
      {
        index: fc.nat(0x7fff_ffff),
        mac: fc.uint8Array({ minLength: 6, maxLength: 6 }).map(macFromBytes),
        state: fc.nat(0xff),
        flags: fc.nat(0xff),
        destination,
        vlan: fc.nat(4095),
        port: fc.nat(65535),
        vni: fc.nat(0xff_ffff),
      },
      { requiredKeys: ['index', 'mac', 'state', 'flags'] },
    );
    fc.assert(
      fc.property(arbitrary, (entry) => {
        expect(decodeFdb(messageOf(RTM_NEWNEIGH, (writer) => writeFdb(writer, entry)))).toEqual(entry);
      }),
    );
  });

  test("reads a bridge's own entry, with its master and next hop", () => {
    const payload =
      '07000000 09000000 80000400 0a000200 02000000 01020000 08000900 03000000 08000d00 05000000' +
      '14000300 05000000 05000000 05000000 00000000';
    expect(decodeFdb(messageFromHex(RTM_NEWNEIGH, payload))).toEqual({
      index: 9,
      mac: '02:00:00:00:01:02',
      state: 0x80,
      flags: NTF_MASTER,
      master: 3,
      nexthopId: 5,
    });
  });

  test.for([
    { name: 'neighbours', payload: '02000000 04000000 80000001 08000100 0af40200 0a000200 02000000 01020000' },
    { name: 'an entry without a MAC', payload: '07000000 04000000 80000200 08000100 c0a8320c' },
  ])('leaves out $name', ({ payload }) => {
    expect(decodeFdb(messageFromHex(RTM_NEWNEIGH, payload))).toBeUndefined();
  });
});

test('listFdb asks for one device and ignores answers about others', () => {
  const { netlink, transport } = openFakeNetlink((_, replies) => {
    for (const index of [4, 5]) {
      replies.message(RTM_NEWNEIGH, (writer) => writeFdb(writer, { ...flannels, index }));
    }
  });
  expect(listFdb(netlink, { index: 4 })).toEqual([{ ...flannels, state: NUD_PERMANENT, flags: NTF_SELF }]);
  expect([...(transport.sent[0]?.subarray(16) ?? [])]).toEqual([7, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0]);
});
