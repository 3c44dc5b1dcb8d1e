// What was found in the place of an object that should be there, in a few words for the log.

import { formatIp } from '../../lib/ip.ts';
import { spellRoute } from '../../lib/rtnetlink/route.ts';
import type { Change } from './state.ts';

/** `route missing`, `neigh had lladdr 02:…`, `route was 10.244.2.0/24 via 10.0.0.1 proto 3`. */
export function describeDrift(change: Change): string {
  const { kind, have } = change;
  if (have === undefined) return `${kind} missing`;
  switch (kind) {
    case 'neigh':
      return `neigh had lladdr ${have.mac ?? 'none'}`;
    case 'fdb':
      return `fdb had dst ${have.destination === undefined ? 'none' : formatIp(have.destination)}`;
    case 'nexthop':
      return `nexthop had via ${have.gateway === undefined ? 'none' : formatIp(have.gateway)}`;
    case 'route':
      return `route was ${spellRoute({ ...have, flags: 0 })} proto ${have.protocol}`;
  }
}
