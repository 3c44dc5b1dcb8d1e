// What was found in the place of an object that should be there, in a few words for log and ledger.

import { formatIp } from '../../lib/ip.ts';
import { spellRoute } from '../../lib/rtnetlink/route.ts';
import type { Change } from './state.ts';

/** `route missing`, `neigh had lladdr 02:…`, `route was 10.244.2.0/24 via 10.0.0.1 proto 3`. */
export function describeDrift(change: Change): string {
  return `${change.kind} ${foundInstead(change)}`;
}

/** The same without the kind. */
export function foundInstead(change: Change): string {
  const { kind, have, want } = change;
  if (have === undefined) return 'missing';
  if (want === undefined) return 'not wanted';
  switch (kind) {
    case 'neigh':
      return `had lladdr ${have.mac ?? 'none'}`;
    case 'fdb':
      return `had dst ${have.destination === undefined ? 'none' : formatIp(have.destination)}`;
    case 'nexthop':
      return `had via ${have.gateway === undefined ? 'none' : formatIp(have.gateway)}`;
    case 'route':
      return `was ${spellRoute({ ...have, flags: 0 })} proto ${have.protocol}`;
  }
}
