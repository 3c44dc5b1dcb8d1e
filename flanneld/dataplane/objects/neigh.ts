// Neighbours on the overlay's own device: the address of a peer's VTEP, and its MAC. They are permanent, so that the kernel never asks for
// the MAC. On that device each permanent one is ours, whoever made it (flannel may have).

import { formatIp, type Ip } from '../../../lib/ip.ts';
import type { Mac } from '../../../lib/mac.ts';
import type { Netlink } from '../../../lib/netlink/connection.ts';
import { deleteNeigh, listNeighs, type Neigh, replaceNeigh } from '../../../lib/rtnetlink/neigh.ts';
import { NUD_PERMANENT } from '../../../lib/rtnetlink/rtnetlink-constants.ts';
import { addressKey, type ObjectKind, type Place } from './kind.ts';

export interface WantedNeigh {
  readonly destination: Ip;
  readonly mac: Mac;
}

export const neigh: ObjectKind<WantedNeigh, Neigh> = {
  name: 'neigh',
  wantedKey: ({ destination }) => addressKey(destination),
  presentKey: ({ destination }) => addressKey(destination),
  isRight: (have, { mac }) => isPermanent(have) && have.mac === mac,
  isOurs: isPermanent,
  list: (netlink: Netlink, { tunnel, family }, _, mayOmit) =>
    tunnel === undefined ? [] : listNeighs(netlink, { index: tunnel.index, family }, mayOmit),
  asWanted: ({ destination, mac }, { tunnel, family }) => ({
    family,
    index: tunnel?.index ?? 0,
    destination,
    mac,
    state: NUD_PERMANENT,
    flags: 0,
  }),
  put: ({ destination, mac }, _, { tunnel }) =>
    replaceNeigh({ index: tunnel?.index ?? 0, destination, mac, state: NUD_PERMANENT }, tunnel?.name),
  remove: ({ destination }, { tunnel }) => deleteNeigh({ index: tunnel?.index ?? 0, destination }, tunnel?.name),
  spell: ({ destination }) => `neigh ${formatIp(destination)}`,
  difference: ({ mac }) => `had lladdr ${mac ?? 'none'}`,
  hear(event, table, { tunnel, family }: Place) {
    if (event.kind !== 'neigh') return true;
    const { object, removed } = event;
    if (object.index !== tunnel?.index || object.family !== family) return true;
    // The kernel sends two events for a deletion: first the entry as failed, then as gone.
    if (removed) table.delete(addressKey(object.destination));
    else table.set(addressKey(object.destination), object);
    return true;
  },
};

function isPermanent({ state }: Neigh): boolean {
  return (state & NUD_PERMANENT) !== 0;
}
