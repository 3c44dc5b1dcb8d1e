// Nexthop objects, one for each peer's route. With them the kernel makes thousands of routes in linear time. All programs in a
// network namespace share the ids. Ours have our protocol number, lie in a range of our own and lead to the overlay's device.
// Any other object in that range belongs to somebody else, and its id is not used.

import { formatIp, type Ip, sameIp } from '../../../lib/ip.ts';
import type { Netlink } from '../../../lib/netlink/connection.ts';
import { NetlinkError } from '../../../lib/netlink/request.ts';
import {
  addNexthop,
  deleteNexthop,
  listNexthops,
  type Nexthop,
  replaceNexthop,
} from '../../../lib/rtnetlink/nexthop.ts';
import { RTNH_F_ONLINK } from '../../../lib/rtnetlink/rtnetlink-constants.ts';
import { EINVAL, EOPNOTSUPP } from '../../../lib/sys/errno.ts';
import { type ObjectKind, type Place, WEFT_PROTOCOL } from './kind.ts';
import { isReservedNexthopId } from './nexthop-ids.ts';

export interface WantedNexthop {
  readonly id: number;
  readonly gateway: Ip;
}

export const nexthop: ObjectKind<WantedNexthop, Nexthop> = {
  name: 'nexthop',
  wantedKey: ({ id }) => id,
  presentKey: ({ id }) => id,
  isRight: (have, { gateway }, place) =>
    isOurNexthop(have, place) && have.gateway !== undefined && sameIp(have.gateway, gateway) && isOnlink(have),
  isOurs: isOurNexthop,
  list: (netlink, { tunnel }, _, mayOmit) => (tunnel === undefined ? [] : listIfSupported(netlink, mayOmit)),
  asWanted: ({ id, gateway }, { tunnel, family }) => ({
    id,
    family,
    gateway,
    oif: tunnel?.index ?? 0,
    protocol: WEFT_PROTOCOL,
    flags: RTNH_F_ONLINK,
  }),
  // With an id that looked free the object is added, not replaced: another program may have made one meanwhile.
  put({ id, gateway }, have, { tunnel }) {
    const spec = { id, gateway, oif: tunnel?.index ?? 0, protocol: WEFT_PROTOCOL, flags: RTNH_F_ONLINK };
    return have === undefined ? addNexthop(spec, tunnel?.name) : replaceNexthop(spec, tunnel?.name);
  },
  remove: ({ id }) => deleteNexthop(id),
  spell: ({ id }) => `nexthop ${id}`,
  difference: ({ gateway }) => `had via ${gateway === undefined ? 'none' : formatIp(gateway)}`,
  hear(event, table) {
    if (event.kind !== 'nexthop' || !isReservedNexthopId(event.object.id)) return true;
    if (event.removed) table.delete(event.object.id);
    else table.set(event.object.id, event.object);
    return true;
  },
};

export function isOurNexthop({ protocol, oif, id }: Nexthop, { tunnel }: Pick<Place, 'tunnel'>): boolean {
  return protocol === WEFT_PROTOCOL && oif === tunnel?.index && isReservedNexthopId(id);
}

function isOnlink({ flags }: Nexthop): boolean {
  return (flags & RTNH_F_ONLINK) !== 0;
}

/** Undefined before Linux 5.3. */
function listIfSupported(netlink: Netlink, mayOmit: (have: Nexthop) => boolean): Nexthop[] | undefined {
  try {
    return listNexthops(netlink, {}, (have) => !isReservedNexthopId(have.id) || mayOmit(have));
  } catch (error) {
    if (error instanceof NetlinkError && (error.errno === EOPNOTSUPP || error.errno === EINVAL)) return undefined;
    throw error;
  }
}
