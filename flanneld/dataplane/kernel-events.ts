// The kernel's events: each is decoded once and passed to all listeners for its kind.

import type { RulesetEvent } from '../../lib/netfilter/ruleset-event.ts';
import type { RtnetlinkEvent } from '../../lib/rtnetlink/event.ts';
import {
  RTNLGRP_IPV4_IFADDR,
  RTNLGRP_IPV4_ROUTE,
  RTNLGRP_IPV4_RULE,
  RTNLGRP_IPV6_IFADDR,
  RTNLGRP_IPV6_ROUTE,
  RTNLGRP_IPV6_RULE,
  RTNLGRP_LINK,
  RTNLGRP_NEIGH,
  RTNLGRP_NEXTHOP,
  RTNLGRP_TC,
} from '../../lib/rtnetlink/rtnetlink-constants.ts';

/** The multicast groups of rtnetlink to subscribe to. */
export const KERNEL_GROUPS: readonly number[] = [
  RTNLGRP_LINK,
  RTNLGRP_NEIGH,
  RTNLGRP_IPV4_IFADDR,
  RTNLGRP_IPV4_ROUTE,
  RTNLGRP_IPV6_IFADDR,
  RTNLGRP_IPV6_ROUTE,
  RTNLGRP_NEXTHOP,
];

/** The groups that the fast path needs in addition. */
export const FAST_PATH_GROUPS: readonly number[] = [RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_RULE, RTNLGRP_TC];

export type KernelEvent = RtnetlinkEvent | RulesetEvent;
type EventOf<Kind> = Extract<KernelEvent, { readonly kind: Kind }>;

/** The listeners for each kind of event. */
export type Listeners = {
  readonly [Kind in KernelEvent['kind']]: readonly ((event: EventOf<Kind>) => void)[];
};

/** Passes the event to all listeners for its kind. */
export function dispatch(event: KernelEvent, listeners: Listeners): void {
  const told: readonly ((event: never) => void)[] = listeners[event.kind];
  for (const listener of told) listener(event as never);
}
