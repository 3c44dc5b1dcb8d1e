import { describe, expect, test } from 'vitest';
import { parseIp, parsePrefix } from '../../lib/ip.ts';
import { type Mac, parseMac } from '../../lib/mac.ts';
import { NLM_F_REPLACE } from '../../lib/netlink/constants.ts';
import { openFakeNetlink } from '../../lib/netlink/fake.ts';
import type { MessageReader } from '../../lib/netlink/reader.ts';
import type { NetlinkRequest } from '../../lib/netlink/request.ts';
import type { MessageWriter } from '../../lib/netlink/writer.ts';
import { addAddress, deleteAddress } from '../../lib/rtnetlink/address.ts';
import { readEvent } from '../../lib/rtnetlink/event.ts';
import { replaceFdb } from '../../lib/rtnetlink/fdb.ts';
import { setLink } from '../../lib/rtnetlink/link.ts';
import { deleteNeigh, replaceNeigh, writeNeigh } from '../../lib/rtnetlink/neigh.ts';
import { deleteNexthop, replaceNexthop } from '../../lib/rtnetlink/nexthop.ts';
import { addRoute, replaceRoute } from '../../lib/rtnetlink/route.ts';
import {
  AF_INET,
  NDA_CACHEINFO,
  NTF_MASTER,
  RTM_GETNEIGH,
  RTM_NEWNEIGH,
} from '../../lib/rtnetlink/rtnetlink-constants.ts';
import { messageOf } from '../../test/support/netlink-bytes.ts';
import { Mirror, nothingWanted, type Wants } from './mirror.ts';
import { fdb } from './objects/fdb.ts';
import { type AnyKind, addressKey, type ObjectKey, type Place, WEFT_PROTOCOL } from './objects/kind.ts';
import { neigh } from './objects/neigh.ts';
import { nexthop } from './objects/nexthop.ts';
import { NEXTHOP_ID_FIRST } from './objects/nexthop-ids.ts';
import { route } from './objects/route.ts';

const place: Place = {
  family: 4,
  network: parsePrefix('10.244.0.0/16'),
  tunnel: { index: 7, name: 'flannel.1' },
  underlay: { index: 3, name: 'eth0' },
};

/** A mirror of an empty kernel, and its reactions to events: the kinds touched, or `doubt`. */
async function mirrorOf(at: Place = place, wants: Wants = nothingWanted) {
  const touched: string[] = [];
  const mirror = new Mirror([neigh, fdb, nexthop, route], wants, ({ name }) => touched.push(name));
  mirror.moveTo(at);
  await mirror.list(openFakeNetlink(() => undefined).netlink, at);
  const hear = (request: NetlinkRequest, flags = 0): string | undefined => {
    const event = readEvent(told(request, flags));
    if (event !== undefined) mirror.hear(event);
    return mirror.isDoubtful ? 'doubt' : touched.pop();
  };
  return { mirror, hear };
}

/** The event for a change is the message that requested it, as far as the agent reads it; an FDB entry also has its age. */
function told(request: NetlinkRequest, flags = 0): MessageReader {
  const write = (writer: MessageWriter): void => {
    request.write(writer);
    if (request.describe().includes('fdb')) writer.attrBytes(NDA_CACHEINFO, new Uint8Array(16));
  };
  return messageOf(request.type, write, flags);
}

/** Whether the neighbour under a key is missing or not as wanted. */
function hasDifference(mirror: Mirror, key: ObjectKey): boolean {
  const { missing, others } = mirror.differences(neigh as AnyKind);
  return missing.has(key) || others.has(key);
}

const mac = parseMac('02:00:00:00:01:02');
const elsewhere = parsePrefix('172.16.0.0/12');
const everywhere = parsePrefix('0.0.0.0/0');
const podCidr = parsePrefix('10.244.2.0/24');
const gateway = parseIp('192.168.50.1');

const id = NEXTHOP_ID_FIRST + 2;

describe('Mirror', () => {
  test.for<{ name: string; event: NetlinkRequest; want: string | undefined }>([
    { name: 'our device', event: setLink({ index: 7, up: false }), want: 'doubt' },
    { name: 'another device', event: setLink({ index: 3, up: false }), want: undefined },
    { name: 'a new address on our device', event: addAddress({ index: 7, ip: gateway, length: 24 }), want: undefined },
    { name: 'one that it loses', event: deleteAddress({ index: 7, ip: gateway, length: 24 }), want: 'doubt' },
    { name: 'one that another loses', event: deleteAddress({ index: 8, ip: gateway, length: 24 }), want: undefined },
    { name: 'a neighbour on our device', event: replaceNeigh({ index: 7, destination: gateway, mac }), want: 'neigh' },
    { name: 'a neighbour elsewhere', event: replaceNeigh({ index: 8, destination: gateway, mac }), want: undefined },
    { name: 'an FDB entry of our device', event: replaceFdb({ index: 7, mac, destination: gateway }), want: 'fdb' },
    { name: 'one of a bridge', event: replaceFdb({ index: 7, mac, flags: NTF_MASTER }), want: undefined },
    { name: 'a route by our device', event: replaceRoute({ destination: elsewhere, oif: 7 }), want: 'route' },
    {
      name: 'one of ours on the external interface',
      event: replaceRoute({ destination: podCidr, gateway, oif: 3, protocol: WEFT_PROTOCOL }),
      want: 'route',
    },
    { name: 'another’s there', event: replaceRoute({ destination: podCidr, gateway, oif: 3 }), want: undefined },
    { name: 'another table’s', event: replaceRoute({ destination: podCidr, oif: 7, table: 100 }), want: undefined },
    { name: 'a default route', event: replaceRoute({ destination: everywhere, gateway }), want: undefined },
    { name: 'a nexthop of our range', event: replaceNexthop({ id, gateway, oif: 8 }), want: 'nexthop' },
    { name: 'another nexthop', event: replaceNexthop({ id: 7, gateway, oif: 7 }), want: undefined },
    { name: 'a message of another kind', event: { ...deleteNexthop(1), type: 999 }, want: undefined },
  ])('hears of $name', async ({ event, want }) => {
    const { hear } = await mirrorOf();
    expect(hear(event)).toBe(want);
  });

  test('has an object from the event that adds it until the event that removes it', async () => {
    const { mirror, hear } = await mirrorOf();
    hear(replaceNeigh({ index: 7, destination: gateway, mac }));
    expect(mirror.get(neigh, addressKey(gateway))).toMatchObject({ mac });
    expect(hear(deleteNeigh({ index: 7, destination: gateway }))).toBe('neigh');
    expect(mirror.get(neigh, addressKey(gateway))).toBeUndefined();
    expect(hear(deleteNeigh({ index: 7, destination: gateway }))).toBeUndefined();
  });

  test('stores only objects that are not as wanted, and still lists all that exist', async () => {
    const want = { destination: gateway, mac };
    const key = neigh.wantedKey(want);
    let isWanted = true;
    const isAsked = (kind: AnyKind): boolean => isWanted && kind.name === 'neigh';
    const owner = { peer: { key: 'two' }, seenIn: 0 };
    const { mirror, hear } = await mirrorOf(place, {
      wantOf: () => want,
      ownersOf: (kind) => new Map(isAsked(kind) ? [[key, owner]] : []),
    });
    const kept = () => [...mirror.otherObjects(neigh)].map((have) => have.mac);
    const differs = () => hasDifference(mirror, key);
    expect([mirror.get(neigh, key), differs(), kept()]).toEqual([undefined, true, []]);
    hear(replaceNeigh({ index: 7, destination: gateway, mac }));
    expect([mirror.get(neigh, key), differs(), kept()]).toMatchObject([{ mac }, false, []]);
    const other = parseMac('02:00:00:00:01:99');
    hear(replaceNeigh({ index: 7, destination: gateway, mac: other }));
    expect([mirror.get(neigh, key), differs(), kept()]).toMatchObject([{ mac: other }, true, [other]]);
    hear(replaceNeigh({ index: 7, destination: gateway, mac }));
    isWanted = false;
    mirror.noLongerWanted(neigh, key, want);
    expect([mirror.get(neigh, key), kept()]).toMatchObject([{ mac }, [mac]]);
    hear(deleteNeigh({ index: 7, destination: gateway }));
    expect([mirror.get(neigh, key), kept()]).toEqual([undefined, []]);
  });

  const [right, wrong] = [mac, parseMac('02:00:00:00:01:99')];
  const other = parseIp('10.244.9.0');
  test.for<{ name: string; lists: readonly (readonly Mac[])[]; differs: boolean; kept: readonly Mac[] }>([
    { name: 'an object that is as wanted', lists: [[right]], differs: false, kept: [] },
    { name: 'an object that is not as wanted', lists: [[wrong]], differs: true, kept: [wrong] },
    { name: 'that an object is missing', lists: [[]], differs: true, kept: [] },
    { name: 'two with one key, the first as wanted', lists: [[right, wrong]], differs: false, kept: [wrong] },
    { name: 'two with one key, the second as wanted', lists: [[wrong, right]], differs: true, kept: [wrong, right] },
    { name: 'two with one key, both as wanted', lists: [[right, right]], differs: false, kept: [right] },
    { name: 'what was there when the kernel had to begin anew', lists: [[wrong], [right]], differs: false, kept: [] },
    { name: 'what was changed while it had to begin anew', lists: [[right], [wrong]], differs: true, kept: [wrong] },
  ])('a list shows $name, and what nobody wants', async ({ lists, differs, kept }) => {
    const want = { destination: gateway, mac: right };
    const key = neigh.wantedKey(want);
    const isIt = (kind: AnyKind): boolean => kind.name === 'neigh';
    const owner = { peer: { key: 'two' }, seenIn: 0 };
    const wants: Wants = {
      wantOf: () => want,
      ownersOf: (kind) => new Map(isIt(kind) ? [[key, owner]] : []),
    };
    let asked = 0;
    const { netlink } = openFakeNetlink((request, replies) => {
      if (request.type !== RTM_GETNEIGH || request.view.getUint8(request.at) !== AF_INET) return;
      const at = Math.min(asked++, lists.length - 1);
      if (at < lists.length - 1) replies.interrupted();
      for (const one of lists[at] ?? []) {
        replies.message(RTM_NEWNEIGH, (writer) => writeNeigh(writer, { index: 7, destination: gateway, mac: one }));
      }
      replies.message(RTM_NEWNEIGH, (writer) => writeNeigh(writer, { index: 7, destination: other, mac: wrong }));
    });
    const mirror = new Mirror([neigh, fdb, nexthop, route], wants, () => undefined);
    mirror.moveTo(place);
    await mirror.list(netlink, place);
    const seen = [...mirror.otherObjects(neigh)].map((have) => [have.destination, have.mac]);
    expect(hasDifference(mirror, key)).toBe(differs);
    expect(seen).toEqual([...kept.map((one) => [gateway, one]), [other, wrong]]);
  });

  test('loses a route when a foreign one replaces it, and keeps it when a foreign one is added beside it', async () => {
    const { mirror, hear } = await mirrorOf();
    const ours = { destination: podCidr, gateway, oif: 7, protocol: WEFT_PROTOCOL };
    hear(replaceRoute(ours));
    const key = route.wantedKey({ destination: podCidr, gateway, by: 'tunnel' });
    expect(hear(addRoute({ ...ours, oif: 8, protocol: 4 }))).toBeUndefined();
    expect(mirror.get(route, key)).toBeDefined();
    expect(hear(replaceRoute({ ...ours, oif: 8, protocol: 4 }), NLM_F_REPLACE)).toBe('route');
    expect(mirror.get(route, key)).toBeUndefined();
  });

  test('must list again when two of our objects have one key, and when a nexthop goes that a route uses', async () => {
    const one = await mirrorOf();
    one.hear(replaceRoute({ destination: podCidr, gateway, oif: 7, protocol: 4 }));
    expect(one.hear(addRoute({ destination: podCidr, oif: 7, protocol: WEFT_PROTOCOL }))).toBe('doubt');
    const other = await mirrorOf();
    other.hear(replaceNexthop({ id, gateway, oif: 7, protocol: WEFT_PROTOCOL }));
    other.hear(replaceRoute({ destination: podCidr, nexthopId: id, oif: 7, protocol: WEFT_PROTOCOL }));
    expect(other.hear(deleteNexthop(id))).toBe('doubt');
  });

  test('must list again until everything was listed, and again on another device', async () => {
    const { mirror } = await mirrorOf();
    expect(mirror.isDoubtful).toBe(false);
    mirror.moveTo({ ...place, tunnel: { index: 9, name: 'flannel.1' } });
    expect(mirror.isDoubtful).toBe(true);
  });
});
