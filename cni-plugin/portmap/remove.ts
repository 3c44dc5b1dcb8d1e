// Removes an attachment's mappings, and what the Go plugin's nftables backend has left of it. Asks the kernel for single things by name and
// key: if there are none, nothing is listed, and nothing is ever executed.

import { getElement, listElements } from '../../lib/netfilter/elements.ts';
import { closeSoon, type Netfilter } from '../../lib/netfilter/netfilter-socket.ts';
import { deleteRule, hasTable, listRules, readGeneration, type Table } from '../../lib/netfilter/nftables.ts';
import type { Netlink } from '../../lib/netlink/connection.ts';
import type { NetlinkRequest } from '../../lib/netlink/request.ts';
import type { Invocation } from '../protocol/plugin.ts';
import { forgetConnections, type Stale } from './connections.ts';
import { destinationOf, placesOf, udpPortOf } from './elements.ts';
import { ATTACHMENTS, namesOf, TABLE } from './layout.ts';
import { deleteAttachment, deletePlace, getAttachment, retried } from './nftables.ts';
import { type FoundPlace, ownPlaces } from './own-places.ts';
import { networkDigits, OWNER_DIGITS, ownerIn, ownerOf } from './owner.ts';
import { mappingsOf, type PortmapConfig } from './portmap-config.ts';

/** The Go plugin's tables; a rule's comment is the container's id. */
const GO_TABLES: readonly Table[] = [
  { family: 'ip', name: 'cni_hostport' },
  { family: 'ip6', name: 'cni_hostport' },
];

/** The attachment's own mappings: looked up where the configuration says, and searched for if some are not there. */
function findOwn(netlink: Netlink, config: PortmapConfig, owner: string): FoundPlace[] {
  const attachment = getAttachment(netlink, owner);
  if (attachment === undefined) return [];
  const isOwn = (comment: string): boolean => ownerIn(comment) === owner;
  const places = ([4, 6] as const).flatMap((family) => placesOf(namesOf(config, family), mappingsOf(config, family)));
  const found: FoundPlace[] = [];
  for (const place of places) {
    const element = getElement(netlink, place.dnat, place.key);
    if (element !== undefined && isOwn(element.comment)) found.push({ ...place, element });
  }
  return found.length === Number.parseInt(attachment.comment, 10) ? found : ownPlaces(netlink, isOwn);
}

/** Deletions of the rules that the Go plugin made for the container. */
function goRules(netlink: Netlink, containerId: string): NetlinkRequest[] {
  return GO_TABLES.filter((table) => hasTable(netlink, table)).flatMap((table) =>
    listRules(netlink, table)
      .filter(({ comment }) => comment === containerId)
      .map((rule) => deleteRule(table, rule)),
  );
}

/** Connections that led to the containers of these mappings; other containers may get the addresses. */
function staleOf(places: readonly FoundPlace[]): Stale[] {
  const stale: Stale[] = [];
  for (const { key, element } of places) {
    const port = udpPortOf(key);
    const destination = destinationOf(element);
    if (port !== undefined && destination !== undefined) {
      stale.push({ port, container: destination.ip, leads: 'there' });
    }
  }
  return stale;
}

/** Returns whether there was anything of ours. Closes `netfilter`. Throws NetlinkError. */
export function removeNftables(invocation: Invocation, netfilter: Netfilter, config: PortmapConfig): boolean {
  const { containerId, ifname } = invocation;
  const owner = ownerOf(invocation, containerId, ifname);
  return removing(invocation, netfilter, (netlink) => {
    const attached = getAttachment(netlink, owner) !== undefined;
    const places = attached ? findOwn(netlink, config, owner) : [];
    const requests = places.flatMap((place) => deletePlace(netlink, place));
    if (attached) requests.push(deleteAttachment(owner));
    return { places, requests: [...requests, ...goRules(netlink, containerId)], ours: attached };
  });
}

/** Removes the network's mappings whose owner is not in `valid`. Closes `netfilter`. Throws NetlinkError. */
export function collectNftables(invocation: Invocation, netfilter: Netfilter, valid: ReadonlySet<string>): void {
  const network = networkDigits(invocation);
  const isLost = (owner: string): boolean => owner.startsWith(network) && !valid.has(owner);
  removing(invocation, netfilter, (netlink) => {
    const places = ownPlaces(netlink, (comment) => isLost(ownerIn(comment)));
    const owners = listElements(netlink, { table: TABLE, set: ATTACHMENTS })
      .map(({ key }) => String.fromCharCode(...key.subarray(0, OWNER_DIGITS)))
      .filter(isLost);
    const requests = places.flatMap((place) => deletePlace(netlink, place));
    return { places, requests: [...requests, ...owners.map(deleteAttachment)], ours: owners.length > 0 };
  });
}

interface Removal {
  readonly places: readonly FoundPlace[];
  readonly requests: readonly NetlinkRequest[];
  readonly ours: boolean;
}

function removing(invocation: Invocation, netfilter: Netfilter, find: (netlink: Netlink) => Removal): boolean {
  let removed = false;
  try {
    const { netlink } = netfilter;
    const { places, ours } = retried(invocation, () => {
      const generation = readGeneration(netlink);
      const removal = find(netlink);
      netfilter.transact(removal.requests, generation);
      removed = removal.requests.length > 0;
      return removal;
    });
    forgetConnections(invocation, netlink, staleOf(places));
    return ours;
  } finally {
    if (removed) closeSoon(invocation.sys, netfilter);
    else netfilter.close();
  }
}
