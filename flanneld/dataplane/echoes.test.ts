import { describe, expect, test } from 'vitest';
import { parseIp, parsePrefix } from '../../lib/ip.ts';
import { parseMac } from '../../lib/mac.ts';
import type { MessageReader } from '../../lib/netlink/reader.ts';
import type { NetlinkRequest } from '../../lib/netlink/request.ts';
import { NUD_PERMANENT } from '../../lib/rtnetlink/constants.ts';
import { deleteFdb, replaceFdb } from '../../lib/rtnetlink/fdb.ts';
import { deleteNeigh, replaceNeigh } from '../../lib/rtnetlink/neigh.ts';
import { deleteNexthop, replaceNexthop } from '../../lib/rtnetlink/nexthop.ts';
import { replaceRoute } from '../../lib/rtnetlink/route.ts';
import { RTA_OIF } from '../../lib/rtnetlink/route-message.ts';
import { messageOf } from '../../test/support/netlink-bytes.ts';
import { Echoes } from './echoes.ts';
import { NEXTHOP_ID_FIRST } from './nexthop-ids.ts';
import { requestOf } from './requests.ts';
import type { Change } from './state.ts';

const device = { index: 7, name: 'flannel.1' };
const owner = 'two';
const [gateway, publicIp, otherIp] = ['10.244.2.0', '192.168.50.12', '192.168.50.99'].map(parseIp) as [
  ReturnType<typeof parseIp>,
  ReturnType<typeof parseIp>,
  ReturnType<typeof parseIp>,
];
const destination = parsePrefix('10.244.2.0/24');
const [mac, otherMac] = [parseMac('02:00:00:00:01:02'), parseMac('02:00:00:00:01:99')];
const nexthopId = NEXTHOP_ID_FIRST + 2;

const added: Change[] = [
  { kind: 'neigh', owner, want: { owner, destination: gateway, mac } },
  { kind: 'fdb', owner, want: { owner, mac, destination: publicIp } },
  { kind: 'nexthop', owner, want: { owner, id: nexthopId, gateway } },
  { kind: 'route', owner, want: { owner, destination, gateway, nexthopId } },
];

/** A change is announced with the message that asked for it; of a route the kernel says the device, too. */
function told(request: NetlinkRequest, oif?: number): MessageReader {
  return messageOf(request.type, (writer) => {
    request.write(writer);
    if (oif !== undefined) writer.attrU32(RTA_OIF, oif);
  });
}

function makeEchoes(changes: readonly Change[]): (message: MessageReader) => boolean {
  const echoes = new Echoes();
  echoes.expect(changes);
  return (message) => echoes.isEcho(message, device.index);
}

describe('isEcho', () => {
  test.for(added)('knows what was asked for: $kind', (change) => {
    const oif = change.kind === 'route' ? device.index : undefined;
    const message = told(requestOf(change, device), oif);
    expect(makeEchoes(added)(message)).toBe(true);
    expect(makeEchoes([])(message)).toBe(false);
  });

  test.for<{ name: string; event: NetlinkRequest; oif?: number }>([
    { name: 'another MAC', event: replaceNeigh({ index: 7, destination: gateway, mac: otherMac }) },
    { name: 'a neighbour that is gone', event: deleteNeigh({ index: 7, destination: gateway }) },
    { name: 'one that may age', event: replaceNeigh({ index: 7, destination: gateway, mac, state: 2 }) },
    { name: 'one of another device', event: replaceNeigh({ index: 8, destination: gateway, mac }) },
    { name: 'another destination', event: replaceFdb({ index: 7, mac, destination: otherIp }) },
    { name: 'another port', event: replaceFdb({ index: 7, mac, destination: publicIp, port: 4789 }) },
    { name: 'an FDB entry that is gone', event: deleteFdb({ index: 7, mac, state: NUD_PERMANENT }) },
    {
      name: 'another gateway',
      event: replaceNexthop({ id: nexthopId, gateway: otherIp, oif: 7, protocol: 138, flags: 4 }),
    },
    {
      name: 'somebody else’s nexthop',
      event: replaceNexthop({ id: nexthopId, gateway, oif: 7, protocol: 4, flags: 4 }),
    },
    { name: 'a nexthop that is gone', event: deleteNexthop(nexthopId) },
    { name: 'another nexthop', event: replaceRoute({ destination, nexthopId: nexthopId + 1, protocol: 138 }), oif: 7 },
    { name: 'somebody else’s route', event: replaceRoute({ destination, nexthopId, protocol: 4 }), oif: 7 },
    {
      name: 'a route of another metric',
      event: replaceRoute({ destination, nexthopId, protocol: 138, priority: 9 }),
      oif: 7,
    },
    { name: 'a route by another device', event: replaceRoute({ destination, nexthopId, protocol: 138 }), oif: 8 },
  ])('takes for news: $name', ({ event, oif }) => {
    expect(makeEchoes(added)(told(event, oif))).toBe(false);
  });

  test('knows what was to go, and that it went the moment before', () => {
    const isEcho = makeEchoes([
      {
        kind: 'neigh',
        owner,
        have: { family: 4, index: 7, destination: gateway, mac, state: NUD_PERMANENT, flags: 0 },
      },
    ]);
    expect(isEcho(told(deleteNeigh({ index: 7, destination: gateway })))).toBe(true);
    const failed = 0x20;
    expect(isEcho(told(replaceNeigh({ index: 7, destination: gateway, mac, state: failed })))).toBe(true);
    expect(isEcho(told(replaceNeigh({ index: 7, destination: gateway, mac })))).toBe(false);
  });

  test('forgets all when thousands are asked for at once: then it is looked again', () => {
    const many = Array.from({ length: 100 }, (_, at): Change => {
      return { kind: 'fdb', owner, want: { owner, mac, destination: { family: 4, value: BigInt(at) } } };
    });
    const echoes = new Echoes();
    echoes.expect(added);
    echoes.expect(many);
    expect(echoes.isEcho(told(replaceFdb({ index: 7, mac, destination: publicIp })), device.index)).toBe(false);
  });
});
