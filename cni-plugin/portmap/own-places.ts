// Finds mappings by their owner where their ports are not known: every map is read.

import { listElements, type SetElement } from '../../lib/netfilter/elements.ts';
import { listSets } from '../../lib/netfilter/nftables.ts';
import type { Netlink } from '../../lib/netlink/connection.ts';
import { type Place, placeIn } from './elements.ts';
import { TABLE } from './layout.ts';

/** A mapping that was found. */
export interface FoundPlace extends Place {
  readonly element: SetElement;
}

/** Every mapping whose comment `isOwn` accepts. */
export function ownPlaces(netlink: Netlink, isOwn: (comment: string) => boolean): FoundPlace[] {
  return listSets(netlink, TABLE)
    .filter((set) => set.startsWith('dnat'))
    .flatMap((set) =>
      listElements(netlink, { table: TABLE, set })
        .filter(({ comment }) => isOwn(comment))
        .map((element) => ({ ...placeIn(set, element.key, `key ${element.key.join('.')}`), element })),
    );
}
