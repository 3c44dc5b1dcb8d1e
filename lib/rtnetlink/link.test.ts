import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { messageFromHex, messageOf, payloadHex, sortedPayload } from '../../test/support/netlink-bytes.ts';
import { macFromBytes, parseMac } from '../mac.ts';
import { openFakeNetlink } from '../netlink/fake.ts';
import { MalformedReply } from '../netlink/reader.ts';
import { ENODEV, EPERM } from '../sys/errno.ts';
import { addBridge, setBridgePort } from './bridge.ts';
import {
  addLink,
  decodeLink,
  deleteLink,
  getLink,
  getLinkRequest,
  listLinks,
  setLink,
  writeIfinfomsg,
  writeLinkAttributes,
} from './link.ts';
import {
  IFLA_INFO_KIND,
  IFLA_LINKINFO,
  IFLA_MASTER,
  RTM_DELLINK,
  RTM_GETLINK,
  RTM_NEWLINK,
} from './rtnetlink-constants.ts';

const NONE = '00000000 00000000 00000000 00000000';
const UP = '00000000 00000000 01000000 01000000';

describe('requests', () => {
  test.for([
    {
      name: 'any kind without data',
      request: addLink({ name: 'x' }, 'dummy'),
      header: [RTM_NEWLINK, 0x600],
      want: `${NONE} 06000300 78000000 10001200 0a000100 64756d6d79000000`,
      text: 'add link x type dummy',
      command: 'ip link add x type dummy',
    },
    {
      name: 'a bridge with MAC, MTU, up',
      request: addBridge({ name: 'cni0', mac: parseMac('02:00:00:00:00:01'), mtu: 1450, up: true }),
      header: [RTM_NEWLINK, 0x600],
      want: `${UP} 09000300 636e693000000000 0a000100 0200000000010000 08000400 aa050000 10001200 0b000100 62726964676500 00`,
      text: 'add link cni0 type bridge',
      command: 'ip link add cni0 address 02:00:00:00:00:01 mtu 1450 type bridge && ip link set cni0 up',
    },
    {
      name: 'a bridge that filters VLANs',
      request: addBridge({ name: 'b', vlanFiltering: true }),
      header: [RTM_NEWLINK, 0x600],
      want: `${NONE} 06000300 62000000 1c001200 0b000100 6272696467650000 0c000200 05000700 01000000`,
      text: 'add link b type bridge',
      command: 'ip link add b type bridge vlan_filtering 1',
    },
    {
      name: 'up, as ip link set … up',
      request: setLink({ index: 4, name: 'flannel.1', up: true }),
      header: [RTM_NEWLINK, 0],
      want: '00000000 04000000 01000000 01000000',
      tool: '00000000040000000100000001000000',
      text: 'set link flannel.1 up',
      command: 'ip link set flannel.1 up',
    },
    {
      name: 'down, by name, promiscuous off',
      request: setLink({ name: 'veth0', up: false, promisc: false }),
      header: [RTM_NEWLINK, 0],
      want: '00000000 00000000 00000000 01010000 0a000300 7665746830000000',
      text: 'set link veth0 down promisc off',
      command: 'ip link set veth0 down promisc off',
    },
    {
      name: 'enslave, as ip link set … master',
      request: setLink({ index: 6, name: 'veth0', master: 3, masterName: 'cni0' }),
      header: [RTM_NEWLINK, 0],
      want: '00000000 06000000 00000000 00000000 08000a00 03000000',
      tool: '0000000006000000000000000000000008000a0003000000',
      text: 'set link veth0 master cni0',
      command: 'ip link set veth0 master cni0',
    },
    {
      name: 'free, MAC, MTU, queue, another namespace',
      request: setLink({
        index: 6,
        master: 0,
        mac: parseMac('02:00:00:00:00:01'),
        mtu: 1400,
        txQueueLength: 0,
        netnsFd: 9,
      }),
      header: [RTM_NEWLINK, 0],
      want:
        '00000000 06000000 00000000 00000000 0a000100 0200000000010000 08000400 78050000 08000d00 00000000' +
        '08000a00 00000000 08001c00 09000000',
      text: 'set link if6 address 02:00:00:00:00:01 mtu 1400 txqueuelen 0 nomaster netns /proc/self/fd/9',
      command: 'ip link set if6 address 02:00:00:00:00:01 mtu 1400 txqueuelen 0 nomaster netns /proc/self/fd/9',
    },
    {
      name: 'delete, as ip link del',
      request: deleteLink({ index: 6, name: 'veth0' }),
      header: [RTM_DELLINK, 0],
      want: '00000000 06000000 00000000 00000000',
      tool: '00000000060000000000000000000000',
      text: 'delete link veth0',
      command: 'ip link del veth0',
    },
    {
      name: 'delete by name',
      request: deleteLink({ name: 'veth0' }),
      header: [RTM_DELLINK, 0],
      want: `${NONE} 0a000300 7665746830000000`,
      text: 'delete link veth0',
      command: 'ip link del veth0',
    },
    {
      name: 'port attributes, as ip link set … type bridge_slave hairpin on isolated on',
      request: setBridgePort({ index: 6, name: 'veth0' }, { hairpin: true, isolated: true }),
      header: [RTM_NEWLINK, 0],
      want:
        '00000000 06000000 00000000 00000000 24001200 0b000400 6272696467650000' + // ip leaves out the NUL
        '14000500 05000400 01000000 05002100 01000000',
      text: 'set link veth0 type bridge_slave hairpin on isolated on',
      command: 'ip link set veth0 type bridge_slave hairpin on isolated on',
    },
    {
      name: 'port attributes by name',
      request: setBridgePort({ name: 'veth0' }, { hairpin: false, learning: true }),
      header: [RTM_NEWLINK, 0],
      want: `${NONE} 0a000300 7665746830000000 24001200 0b000400 6272696467650000 14000500 05000400 00000000 05000800 01000000`,
      text: 'set link veth0 type bridge_slave hairpin off learning on',
      command: 'ip link set veth0 type bridge_slave hairpin off learning on',
    },
    {
      name: 'get, without statistics',
      request: getLinkRequest({ name: 'veth0' }),
      header: [RTM_GETLINK, 0],
      want: `${NONE} 0a000300 7665746830000000 08001d00 08000000`,
      text: 'get link veth0',
      command: undefined,
    },
  ])('$name', ({ request, header, want, tool, text, command }) => {
    expect([request.type, request.flags]).toEqual(header);
    expect(payloadHex(request)).toBe(want.replaceAll(' ', ''));
    if (tool !== undefined) expect(sortedPayload(payloadHex(request), 16)).toBe(sortedPayload(tool, 16));
    expect(request.describe()).toBe(text);
    expect(request.command?.()).toBe(command);
  });
});

describe('decodeLink', () => {
  test('inverts what is written', () => {
    const arbitrary = fc.record({
      index: fc.nat(0x7fff_ffff),
      name: fc.stringMatching(/^[!-}]{1,15}$/),
      flags: fc.nat(0xffff_ffff),
      mac: fc.uint8Array({ minLength: 6, maxLength: 6 }).map(macFromBytes),
      mtu: fc.nat(65535),
      master: fc.nat(0x7fff_ffff),
      kind: fc.stringMatching(/^[a-z]{1,10}$/).filter((kind) => kind !== 'vxlan'),
    });
    fc.assert(
      fc.property(arbitrary, (link) => {
        const message = messageOf(RTM_NEWLINK, (writer) => {
          writeIfinfomsg(writer, link.index, link.flags, 0);
          writeLinkAttributes(writer, link.name, link);
          writer.nest(IFLA_LINKINFO, () => writer.attrText(IFLA_INFO_KIND, link.kind));
        });
        expect(decodeLink(message)).toEqual({ ...link, operState: 0 });
      }),
    );
  });

  test('reads a bridge port: state, peer, master, hairpin', () => {
    const payload =
      '00000100 05000000 43100100 00000000 0a000300 7665746831000000 05001000 06000000 08000500 04000000' +
      '08000a00 02000000 38001200 09000100 7665746800000000 0b000400 6272696467650000 ' +
      '1c000500 05000400 01000000 05000800 01000000 05002100 00000000';
    expect(decodeLink(messageFromHex(RTM_NEWLINK, payload))).toEqual({
      index: 5,
      name: 'veth1',
      flags: 0x11043,
      mtu: 0,
      operState: 6,
      lowerIndex: 4,
      master: 2,
      kind: 'veth',
      port: { hairpin: true, learning: true, isolated: false },
    });
  });

  test('does not read data of an unknown kind', () => {
    const payload = `${NONE} 18001200 08000100 67726500 0c000200 08000100 01000000`;
    expect(decodeLink(messageFromHex(RTM_NEWLINK, payload))).toMatchObject({ kind: 'gre' });
  });

  test.for([
    { name: 'a struct cut short', payload: '00000000 00000000' },
    { name: 'an MTU of two bytes', payload: `${NONE} 06000400 78050000` },
    { name: 'link information whose lengths lie', payload: `${NONE} 08001200 ff000100` },
  ])('refuses $name', ({ payload }) => {
    expect(() => decodeLink(messageFromHex(RTM_NEWLINK, payload))).toThrow(MalformedReply);
  });
});

describe('getLink', () => {
  test('is undefined when there is none, and throws any other error', () => {
    let errno = ENODEV;
    const { netlink } = openFakeNetlink((_, replies) => replies.error(errno));
    expect(getLink(netlink, { name: 'nope' })).toBeUndefined();
    errno = EPERM;
    expect(() => getLink(netlink, { name: 'nope' })).toThrow('rtnetlink: get link nope: EPERM');
  });
});

describe('listLinks', () => {
  test('lets the kernel filter, and filters what a kernel that cannot sends', () => {
    const { netlink, transport } = openFakeNetlink((_, replies) => {
      for (const [index, kind, master] of [
        [1, 'veth', 9],
        [2, 'veth', 8],
        [3, 'gre', 9],
      ] as const) {
        replies.message(RTM_NEWLINK, (writer) => {
          writeIfinfomsg(writer, index, 0, 0);
          writer.attrU32(IFLA_MASTER, master);
          writer.nest(IFLA_LINKINFO, () => writer.attrText(IFLA_INFO_KIND, kind));
        });
      }
    });
    expect(listLinks(netlink, { kind: 'veth', master: 9 }).map(({ index }) => index)).toEqual([1]);
    expect(Buffer.from(transport.sent[0]?.subarray(16) ?? []).toString('hex')).toBe(
      `${NONE} 08001d00 08000000 08000a00 09000000 10001200 09000100 7665746800000000`.replaceAll(' ', ''),
    );
    expect(listLinks(netlink)).toHaveLength(3);
  });
});
