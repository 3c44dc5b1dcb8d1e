import { describe, expect, test } from 'vitest';
import { parseIp, parsePrefix } from '../../lib/ip.ts';
import { parseMac } from '../../lib/mac.ts';
import type { NetlinkRequest } from '../../lib/netlink/request.ts';
import { addAddress } from '../../lib/rtnetlink/address.ts';
import { RT_TABLE_LOCAL } from '../../lib/rtnetlink/constants.ts';
import { readEvent } from '../../lib/rtnetlink/event.ts';
import { replaceFdb } from '../../lib/rtnetlink/fdb.ts';
import { addLink, setLink } from '../../lib/rtnetlink/link.ts';
import { replaceNeigh } from '../../lib/rtnetlink/neigh.ts';
import { deleteNexthop, replaceNexthop } from '../../lib/rtnetlink/nexthop.ts';
import { deleteRoute, replaceRoute } from '../../lib/rtnetlink/route.ts';
import { messageOf } from '../../test/support/netlink-bytes.ts';
import { type Concern, concerning } from './kernel-events.ts';
import { NEXTHOP_ID_FIRST } from './nexthop-ids.ts';

const concern: Concern = {
  names: new Set(['flannel.1', 'eth0']),
  indexes: new Set([7]),
  underlays: new Set(),
  networks: [parsePrefix('10.244.0.0/16')],
};

/** A change is announced with the message that asked for it, as far as we read it. */
function heard(request: NetlinkRequest): string | undefined {
  const event = readEvent(messageOf(request.type, (writer) => request.write(writer)));
  return event && concerning(event, concern);
}

const mac = parseMac('02:00:00:00:01:02');
const elsewhere = parsePrefix('172.16.0.0/12');
const podCidr = parsePrefix('10.244.2.0/24');
const gateway = parseIp('192.168.50.1');

describe('concerning', () => {
  test.for<{ name: string; event: NetlinkRequest; want: string | undefined }>([
    { name: 'our device', event: addLink({ name: 'flannel.1' }, 'vxlan'), want: 'link' },
    { name: 'the external interface', event: setLink({ name: 'eth0', up: false }), want: 'link' },
    { name: 'a pod’s device', event: addLink({ name: 'veth1234' }, 'veth'), want: undefined },
    { name: 'an address on our device', event: addAddress({ index: 7, ip: gateway, length: 24 }), want: 'address' },
    { name: 'an address elsewhere', event: addAddress({ index: 8, ip: gateway, length: 24 }), want: undefined },
    {
      name: 'an address inside the network, wherever',
      event: addAddress({ index: 8, ip: parseIp('10.244.9.9'), length: 24 }),
      want: 'address',
    },
    {
      name: 'a neighbour on our device',
      event: replaceNeigh({ index: 7, destination: gateway, mac }),
      want: 'neighbour',
    },
    { name: 'a neighbour elsewhere', event: replaceNeigh({ index: 8, destination: gateway, mac }), want: undefined },
    {
      name: 'an FDB entry of our device',
      event: replaceFdb({ index: 7, mac, destination: gateway }),
      want: 'neighbour',
    },
    { name: 'a route by our device', event: replaceRoute({ destination: elsewhere, oif: 7 }), want: 'route' },
    {
      name: 'a route to a pod subnet by another',
      event: replaceRoute({ destination: podCidr, gateway, oif: 8 }),
      want: 'route',
    },
    { name: 'one of these deleted', event: deleteRoute({ destination: podCidr }), want: 'route' },
    {
      name: 'a gateway inside the network',
      event: replaceRoute({ destination: elsewhere, gateway: parseIp('10.244.9.9'), oif: 8 }),
      want: 'route',
    },
    { name: 'another route', event: replaceRoute({ destination: elsewhere, gateway, oif: 8 }), want: undefined },
    {
      name: 'a default route',
      event: replaceRoute({ destination: parsePrefix('0.0.0.0/0'), gateway }),
      want: undefined,
    },
    { name: 'a nexthop of our range', event: deleteNexthop(NEXTHOP_ID_FIRST + 2), want: 'nexthop' },
    { name: 'another nexthop', event: replaceNexthop({ id: 7, gateway, oif: 8 }), want: undefined },
    { name: 'a message nobody asked for', event: { ...deleteNexthop(1), type: 999 }, want: undefined },
  ])('$name', ({ event, want }) => {
    expect(heard(event)).toBe(want);
  });
});

describe('concerning, where peers are on the link of interface 3', () => {
  const direct: Concern = { ...concern, underlays: new Set([3]) };
  const linkLocal = parsePrefix('fe80::/64');
  test.for<{ name: string; event: NetlinkRequest; want: string | undefined }>([
    { name: 'an address of it', event: addAddress({ index: 3, ip: gateway, length: 24 }), want: 'address' },
    { name: 'a neighbour on it', event: replaceNeigh({ index: 3, destination: gateway, mac }), want: undefined },
    { name: 'any route', event: replaceRoute({ destination: elsewhere, gateway, oif: 8 }), want: 'route' },
    { name: 'a pod’s link-local route', event: replaceRoute({ destination: linkLocal, oif: 9 }), want: undefined },
    {
      name: 'a local address’s route',
      event: replaceRoute({ destination: elsewhere, oif: 9, table: RT_TABLE_LOCAL }),
      want: undefined,
    },
  ])('$name', ({ event, want }) => {
    const told = readEvent(messageOf(event.type, (writer) => event.write(writer)));
    expect(told && concerning(told, direct)).toBe(want);
  });
});
