// An event of rtnetlink's multicast groups: one object of the kernel that is new, has changed or is gone. Each event is decoded here once,
// and all listeners get the same value.

import { NLM_F_REPLACE } from '../netlink/constants.ts';
import type { MessageReader } from '../netlink/reader.ts';
import { type Address, decodeAddress } from './address.ts';
import { decodeFdb, type FdbEntry, isToldAgain } from './fdb.ts';
import { decodeLink, type Link } from './link.ts';
import { decodeNeigh, type Neigh } from './neigh.ts';
import { decodeNetconf, type Netconf } from './netconf.ts';
import { decodeNexthop, type Nexthop } from './nexthop.ts';
import { decodeQdisc, type Qdisc, RTM_DELQDISC, RTM_NEWQDISC } from './qdisc.ts';
import { decodeRoute, type Route } from './route-message.ts';
import {
  AF_BRIDGE,
  RTM_DELADDR,
  RTM_DELLINK,
  RTM_DELNEIGH,
  RTM_DELNETCONF,
  RTM_DELNEXTHOP,
  RTM_DELROUTE,
  RTM_DELRULE,
  RTM_NEWADDR,
  RTM_NEWLINK,
  RTM_NEWNEIGH,
  RTM_NEWNETCONF,
  RTM_NEWNEXTHOP,
  RTM_NEWROUTE,
  RTM_NEWRULE,
} from './rtnetlink-constants.ts';
import { decodeRule, type Rule } from './rule.ts';

interface Told<Kind extends string, T> {
  readonly kind: Kind;
  readonly removed: boolean;
  /** Whether it replaced another object, about which there is no other event (NLM_F_REPLACE). */
  readonly replaced: boolean;
  /** The object as it is now; one that is gone, as it was, as far as the kernel says. */
  readonly object: T;
}

export type RtnetlinkEvent =
  | Told<'link', Link>
  | Told<'address', Address>
  | Told<'neigh', Neigh>
  | Told<'fdb', FdbEntry>
  | Told<'nexthop', Nexthop>
  | Told<'route', Route>
  | Told<'rule', Rule>
  | Told<'netconf', Netconf>
  | Told<'qdisc', Qdisc>;

/** Undefined for messages of other kinds and for unknown families. Throws MalformedReply. */
export function readEvent(message: MessageReader): RtnetlinkEvent | undefined {
  const replaced = (message.flags & NLM_F_REPLACE) !== 0;
  switch (message.type) {
    case RTM_NEWLINK:
      return told('link', false, replaced, decodeLink(message));
    case RTM_DELLINK:
      // A bridge sends RTM_DELLINK of its own family for a port that only leaves it.
      return told('link', message.view.getUint8(message.struct(1)) !== AF_BRIDGE, false, decodeLink(message));
    case RTM_NEWADDR:
    case RTM_DELADDR:
      return told('address', message.type === RTM_DELADDR, replaced, decodeAddress(message));
    case RTM_NEWNEIGH:
    case RTM_DELNEIGH: {
      const removed = message.type === RTM_DELNEIGH;
      if (message.view.getUint8(message.struct(1)) !== AF_BRIDGE) {
        return told('neigh', removed, replaced, decodeNeigh(message));
      }
      return isToldAgain(message) ? undefined : told('fdb', removed, replaced, decodeFdb(message));
    }
    case RTM_NEWROUTE:
    case RTM_DELROUTE:
      return told('route', message.type === RTM_DELROUTE, replaced, decodeRoute(message));
    case RTM_NEWNEXTHOP:
    case RTM_DELNEXTHOP:
      return told('nexthop', message.type === RTM_DELNEXTHOP, replaced, decodeNexthop(message));
    case RTM_NEWRULE:
    case RTM_DELRULE:
      return told('rule', message.type === RTM_DELRULE, replaced, decodeRule(message));
    case RTM_NEWNETCONF:
    case RTM_DELNETCONF:
      return told('netconf', message.type === RTM_DELNETCONF, replaced, decodeNetconf(message));
    case RTM_NEWQDISC:
    case RTM_DELQDISC:
      return told('qdisc', message.type === RTM_DELQDISC, replaced, decodeQdisc(message));
    default:
      return undefined;
  }
}

function told<Kind extends string, T>(
  kind: Kind,
  removed: boolean,
  replaced: boolean,
  object: T | undefined,
): Told<Kind, T> | undefined {
  return object === undefined ? undefined : { kind, removed, replaced, object };
}
