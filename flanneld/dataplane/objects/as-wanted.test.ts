// The mirror does not store objects that are as wanted, so each kind must be able to compute them.

import { expect, test } from 'vitest';
import { parseIp, parsePrefix } from '../../../lib/ip.ts';
import { parseMac } from '../../../lib/mac.ts';
import { vxlanObjects } from '../../backend/vxlan/vxlan-peers.ts';
import type { Place } from './kind.ts';
import { NEXTHOP_ID_FIRST } from './nexthop-ids.ts';

const tunnel = { index: 7, name: 'flannel.1' };
const underlay = { index: 3, name: 'eth0' };
const places: readonly Place[] = [
  { family: 4, network: parsePrefix('10.244.0.0/16'), tunnel, underlay },
  { family: 6, network: parsePrefix('fd00:244::/48'), tunnel, underlay },
];

const cases = places.flatMap((place) =>
  [
    { name: 'with nexthops', nexthopId: NEXTHOP_ID_FIRST + 2, isDirect: false },
    { name: 'with plain routes', nexthopId: undefined, isDirect: false },
    { name: 'on the own link', nexthopId: undefined, isDirect: true },
  ].map((each) => ({ ...each, place, family: place.family })),
);

test.for(cases)('an IPv$family peer $name', ({ place, nexthopId, isDirect }) => {
  const subnet = parsePrefix(place.family === 4 ? '10.244.2.0/24' : 'fd00:244:0:2::/64');
  const publicIp = parseIp(place.family === 4 ? '192.168.50.12' : 'fd00:50::12');
  const mac = parseMac('02:00:00:00:01:02');
  for (const { kind, want } of vxlanObjects({ key: 'two', subnet, publicIp, mac, nexthopId, hasFdb: true, isDirect })) {
    const have = kind.asWanted(want, place);
    expect(kind.isRight(have, want, place)).toBe(true);
    expect(kind.isOurs(have, place)).toBe(true);
    expect(kind.presentKey(have)).toBe(kind.wantedKey(want));
  }
});
