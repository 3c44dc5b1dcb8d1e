// FDB entries of the overlay's VXLAN device: the underlay address to which the frames for a peer's MAC are sent. On that device every
// permanent entry is ours, whoever made it; learned entries expire by themselves.

import { formatIp, type Ip, sameIp } from '../../../lib/ip.ts';
import type { Mac } from '../../../lib/mac.ts';
import { deleteFdb, type FdbEntry, listFdb, replaceFdb } from '../../../lib/rtnetlink/fdb.ts';
import { NTF_EXT_LEARNED, NTF_SELF, NUD_NOARP, NUD_PERMANENT } from '../../../lib/rtnetlink/rtnetlink-constants.ts';
import type { ObjectKind } from './kind.ts';

export interface WantedFdb {
  readonly mac: Mac;
  /** A unicast MAC has only one destination, so an entry can always be replaced. */
  readonly destination: Ip;
}

export const fdb: ObjectKind<WantedFdb, FdbEntry> = {
  name: 'fdb',
  wantedKey: ({ mac }) => mac,
  presentKey: ({ mac }) => mac,
  isRight: (have, want) =>
    have.destination !== undefined && sameIp(have.destination, want.destination) && isPlain(have),
  isOurs: lasts,
  // If the device is a port of a bridge, the bridge's entries are listed, too; they lack NTF_SELF.
  list: (netlink, { tunnel }, _, mayOmit) =>
    tunnel === undefined
      ? []
      : listFdb(netlink, { index: tunnel.index }, (entry) => !isDevicesOwn(entry) || mayOmit(entry)),
  asWanted: ({ mac, destination }, { tunnel }) => ({
    index: tunnel?.index ?? 0,
    mac,
    destination,
    state: NUD_PERMANENT,
    flags: NTF_SELF,
  }),
  put: ({ mac, destination }, _, { tunnel }) =>
    replaceFdb({ index: tunnel?.index ?? 0, mac, destination }, tunnel?.name),
  // Without a destination the kernel deletes all entries of the MAC, even those that send by another device.
  remove: ({ mac }, { tunnel }) => deleteFdb({ index: tunnel?.index ?? 0, mac }, tunnel?.name),
  spell: ({ mac }) => `fdb ${mac}`,
  difference: ({ destination }) => `had dst ${destination === undefined ? 'none' : formatIp(destination)}`,
  hear(event, table, { tunnel }) {
    if (event.kind !== 'fdb') return true;
    const { object, removed } = event;
    if (object.index !== tunnel?.index || !isDevicesOwn(object)) return true;
    if (removed) table.delete(object.mac);
    else table.set(object.mac, object);
    return true;
  },
};

function isDevicesOwn({ flags }: FdbEntry): boolean {
  return (flags & NTF_SELF) !== 0;
}

function isPlain({ state, port, vni, nexthopId }: FdbEntry): boolean {
  return (state & NUD_PERMANENT) !== 0 && port === undefined && vni === undefined && nexthopId === undefined;
}

function lasts({ state, flags }: FdbEntry): boolean {
  return (state & (NUD_PERMANENT | NUD_NOARP)) !== 0 || (flags & NTF_EXT_LEARNED) !== 0;
}
