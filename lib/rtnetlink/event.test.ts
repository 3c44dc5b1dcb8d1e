import { expect, test } from 'vitest';
import { messageFromHex, messageOf } from '../../test/support/netlink-bytes.ts';
import { parseIp, parsePrefix } from '../ip.ts';
import { parseMac } from '../mac.ts';
import { NLM_F_REPLACE } from '../netlink/constants.ts';
import { MalformedReply } from '../netlink/reader.ts';
import type { MessageWriter } from '../netlink/writer.ts';
import { writeAddress } from './address.ts';
import { readEvent } from './event.ts';
import { writeFdb } from './fdb.ts';
import { writeIfinfomsg } from './link.ts';
import { writeNeigh } from './neigh.ts';
import { writeNexthop } from './nexthop.ts';
import { writeRoute } from './route-message.ts';
import {
  NDA_CACHEINFO,
  RTM_DELADDR,
  RTM_DELLINK,
  RTM_DELNEIGH,
  RTM_DELNEXTHOP,
  RTM_DELROUTE,
  RTM_NEWADDR,
  RTM_NEWLINK,
  RTM_NEWNEIGH,
  RTM_NEWNEXTHOP,
  RTM_NEWROUTE,
} from './rtnetlink-constants.ts';

const ip = parseIp('10.244.2.0');
const mac = parseMac('02:00:00:00:01:02');

test.for([
  { name: 'link', up: RTM_NEWLINK, down: RTM_DELLINK, write: (w: MessageWriter) => writeIfinfomsg(w, 4, 0, 0) },
  {
    name: 'address',
    up: RTM_NEWADDR,
    down: RTM_DELADDR,
    write: (w: MessageWriter) => writeAddress(w, { index: 4, ip, length: 32 }),
  },
  {
    name: 'neigh',
    up: RTM_NEWNEIGH,
    down: RTM_DELNEIGH,
    write: (w: MessageWriter) => writeNeigh(w, { index: 4, destination: ip, mac }),
  },
  {
    name: 'fdb',
    up: RTM_NEWNEIGH,
    down: RTM_DELNEIGH,
    write: (w: MessageWriter) => {
      writeFdb(w, { index: 4, destination: ip, mac });
      w.attrBytes(NDA_CACHEINFO, new Uint8Array(16));
    },
  },
  {
    name: 'route',
    up: RTM_NEWROUTE,
    down: RTM_DELROUTE,
    write: (w: MessageWriter) => writeRoute(w, { destination: parsePrefix('10.244.2.0/24'), oif: 4 }, 0, 3, 1),
  },
  {
    name: 'nexthop',
    up: RTM_NEWNEXTHOP,
    down: RTM_DELNEXTHOP,
    write: (w: MessageWriter) => writeNexthop(w, { id: 1, gateway: ip, oif: 4 }),
  },
])('tells a $name come or gone, and what it is', ({ name, up, down, write }) => {
  const about = name === 'nexthop' || name === 'route' ? { oif: 4 } : { index: 4 };
  expect(readEvent(messageOf(up, write))).toMatchObject({ kind: name, removed: false, object: about });
  expect(readEvent(messageOf(down, write))).toMatchObject({ kind: name, removed: true, object: about });
});

test('reports a route that replaced another', () => {
  const write = (writer: MessageWriter) => writeRoute(writer, { destination: parsePrefix('10.244.2.0/24') }, 0, 3, 1);
  expect(readEvent(messageOf(RTM_NEWROUTE, write, NLM_F_REPLACE))).toMatchObject({ kind: 'route', replaced: true });
  expect(readEvent(messageOf(RTM_NEWROUTE, write))).toMatchObject({ kind: 'route', replaced: false });
});

test('a port that leaves its bridge is not a removed device', () => {
  const payload = '07000000 04000000 00000000 00000000';
  const event = readEvent(messageFromHex(RTM_DELLINK, payload));
  expect(event).toMatchObject({ kind: 'link', removed: false, object: { index: 4 } });
});

test('the second message about an FDB entry, which Linux sends up to 6.12, is no event', () => {
  const again = (writer: MessageWriter) => writeFdb(writer, { index: 4, mac });
  expect(readEvent(messageOf(RTM_NEWNEIGH, again))).toBeUndefined();
  expect(readEvent(messageOf(RTM_DELNEIGH, again))).toBeUndefined();
});

test('a blackhole has no device', () => {
  const blackhole = messageOf(RTM_NEWROUTE, (writer) =>
    writeRoute(writer, { destination: parsePrefix('10.0.0.0/8') }, 0, 3, 6),
  );
  expect(readEvent(blackhole)).toMatchObject({ kind: 'route', removed: false, object: { type: 6 } });
});

test.for([
  { name: 'another kind', type: 44, payload: '00000000' },
  { name: 'another family', type: RTM_NEWROUTE, payload: '1c180000fe030001 00000000' },
])('says nothing about messages of $name', ({ type, payload }) => {
  expect(readEvent(messageFromHex(type, payload))).toBeUndefined();
});

test.for([
  { name: 'a struct cut short', type: RTM_NEWLINK, payload: '00000000' },
  { name: 'attributes whose lengths lie', type: RTM_NEWROUTE, payload: '02180000fe030001 00000000 ff000400' },
])('refuses $name', ({ type, payload }) => {
  expect(() => readEvent(messageFromHex(type, payload))).toThrow(MalformedReply);
});
