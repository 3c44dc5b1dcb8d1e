import { describe, expect, test } from 'vitest';
import { payloadHex } from '../../test/support/netlink-bytes.ts';
import { openFakeNetlink } from '../netlink/fake.ts';
import type { MessageReader } from '../netlink/reader.ts';
import type { MessageWriter } from '../netlink/writer.ts';
import { EEXIST } from '../sys/errno.ts';
import { createIfb, listIfbs, setAlias } from './ifb.ts';
import { writeIfinfomsg } from './link.ts';
import { IFLA_IFNAME, IFLA_INFO_KIND, IFLA_LINKINFO, RTM_GETLINK, RTM_NEWLINK } from './rtnetlink-constants.ts';

const IFLA_IFALIAS = 20;

function writeLink(writer: MessageWriter, index: number, name: string, kind: string, alias?: string): void {
  writeIfinfomsg(writer, index, 0, 0);
  writer.attrText(IFLA_IFNAME, name);
  writer.nest(IFLA_LINKINFO, () => writer.attrText(IFLA_INFO_KIND, kind));
  if (alias !== undefined) writer.attrText(IFLA_IFALIAS, alias);
}

describe('createIfb', () => {
  test('returns the device that the kernel echoes', () => {
    const { netlink } = openFakeNetlink((request, replies) => {
      if (request.type === RTM_NEWLINK) replies.message(RTM_NEWLINK, (writer) => writeLink(writer, 9, 'bwp0', 'ifb'));
    });
    expect(createIfb(netlink, { name: 'bwp0', mtu: 1450, up: true })).toMatchObject({ index: 9, kind: 'ifb' });
  });

  test('asks for it where the kernel does not echo', () => {
    const { netlink } = openFakeNetlink((request, replies) => {
      if (request.type === RTM_GETLINK) replies.message(RTM_NEWLINK, (writer) => writeLink(writer, 9, 'bwp0', 'ifb'));
    });
    expect(createIfb(netlink, { name: 'bwp0' }).index).toBe(9);
  });

  test('fails with EEXIST when the name is taken', () => {
    const { netlink } = openFakeNetlink((_, replies) => replies.error(EEXIST));
    expect(() => createIfb(netlink, { name: 'bwp0' })).toThrow('rtnetlink: add link bwp0 type ifb: EEXIST');
  });
});

test('setAlias names the device by index', () => {
  const request = setAlias(9, 'bwp0', 'n1 c1');
  expect(payloadHex(request)).toBe('00000000090000000000000000000000' + '0a0014006e31206331000000');
  expect(request.command?.()).toBe("ip link set bwp0 alias 'n1 c1'");
});

describe('listIfbs', () => {
  test('lists index, name and alias, and only ifbs where the kernel does not filter', () => {
    const devices = [
      [1, 'lo0', 'dummy'],
      [2, 'bwp0', 'ifb', 'n1 c1'],
      [3, 'ifb0', 'ifb'],
    ] as const;
    let asked: MessageReader | undefined;
    const { netlink } = openFakeNetlink((request, replies) => {
      asked = request;
      for (const [index, name, kind, alias] of devices) {
        replies.message(RTM_NEWLINK, (writer) => writeLink(writer, index, name, kind, alias));
      }
    });
    expect(listIfbs(netlink)).toEqual([
      { index: 2, name: 'bwp0', alias: 'n1 c1' },
      { index: 3, name: 'ifb0', alias: '' },
    ]);
    expect(asked?.type).toBe(RTM_GETLINK);
  });
});
