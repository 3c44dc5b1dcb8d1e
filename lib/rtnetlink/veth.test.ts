import { describe, expect, test } from 'vitest';
import { payloadHex } from '../../test/support/netlink-bytes.ts';
import { parseMac } from '../mac.ts';
import { type FakeAnswer, openFakeNetlink } from '../netlink/fake.ts';
import { EEXIST } from '../sys/errno.ts';
import { writeIfinfomsg, writeLinkAttributes } from './link.ts';
import { IFLA_LINK, RTM_GETLINK, RTM_NEWLINK } from './rtnetlink-constants.ts';
import { addVeth, createVeth } from './veth.ts';

const pod = {
  name: 'veth0',
  mac: parseMac('0a:59:0a:f4:01:02'),
  mtu: 1450,
  master: 3,
  up: true,
  peer: { name: 'eth0', mac: parseMac('0a:58:0a:f4:01:02'), mtu: 1450, netnsFd: 9 },
};

describe('addVeth', () => {
  test('describes both ends in one message', () => {
    const request = addVeth(pod);
    expect([request.type, request.flags]).toEqual([RTM_NEWLINK, 0x608]);
    const first =
      '00000000 00000000 01000000 01000000 0a000300 7665746830000000 0a000100 0a590af401020000 08000400 aa050000 08000a00 03000000';
    const peer =
      '00000000 00000000 00000000 00000000 09000300 6574683000000000 0a000100 0a580af401020000 08000400 aa050000 08001c00 09000000';
    const info = `50001200 09000100 7665746800000000 40000200 3c000100 ${peer}`;
    const want = `${first} ${info}`.replaceAll(' ', '');
    expect(payloadHex(request).length).toBe(want.length);
    expect(payloadHex(request)).toBe(want);
    expect(request.describe()).toBe('add link veth0 type veth peer eth0');
    expect(request.command?.()).toBe(
      'ip link add veth0 address 0a:59:0a:f4:01:02 mtu 1450 master if3 type veth peer name eth0 ' +
        'address 0a:58:0a:f4:01:02 mtu 1450 netns /proc/self/fd/9 && ip link set veth0 up',
    );
  });

  test('can make a peer in the same namespace, with a number of queues', () => {
    const request = addVeth({ name: 'a', queues: 1, peer: { name: 'b' } });
    const want =
      '00000000 00000000 00000000 00000000 06000300 61000000 08001f00 01000000 08002000 01000000' +
      '30001200 09000100 7665746800000000 20000200 1c000100 00000000 00000000 00000000 00000000 06000300 62000000';
    expect(payloadHex(request)).toBe(want.replaceAll(' ', ''));
    expect(request.command?.()).toBe('ip link add a numtxqueues 1 numrxqueues 1 type veth peer name b');
  });
});

describe('createVeth', () => {
  const link =
    (peerIndex: number | undefined): Parameters<Parameters<FakeAnswer>[1]['message']>[1] =>
    (writer) => {
      writeIfinfomsg(writer, 7, 0, 0);
      writeLinkAttributes(writer, 'veth0', {});
      if (peerIndex !== undefined) writer.attrU32(IFLA_LINK, peerIndex);
    };

  test("takes the peer's index from the echo", () => {
    const { netlink, transport } = openFakeNetlink((_, replies) => replies.message(RTM_NEWLINK, link(2)));
    expect(createVeth(netlink, pod)).toMatchObject({ link: { index: 7, name: 'veth0' }, peerIndex: 2 });
    expect(transport.sent).toHaveLength(1);
  });

  test('asks where the kernel does not echo', () => {
    const { netlink, transport } = openFakeNetlink((request, replies) => {
      if (request.type === RTM_GETLINK) replies.message(RTM_NEWLINK, link(2));
    });
    expect(createVeth(netlink, pod)).toMatchObject({ link: { index: 7 }, peerIndex: 2 });
    expect(transport.sent).toHaveLength(2);
  });

  test('throws when the name is taken', () => {
    const { netlink } = openFakeNetlink((_, replies) => replies.error(EEXIST));
    expect(() => createVeth(netlink, pod)).toThrow('rtnetlink: add link veth0 type veth peer eth0: EEXIST');
  });

  test('throws when the pair vanished meanwhile', () => {
    const { netlink } = openFakeNetlink((request, replies) => {
      if (request.type === RTM_GETLINK) replies.message(RTM_NEWLINK, link(undefined));
    });
    expect(() => createVeth(netlink, pod)).toThrow('veth0 was created and is gone');
  });
});
