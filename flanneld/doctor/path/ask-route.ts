// Asks the routing tables about one packet (RTM_GETROUTE; nothing is sent) and, where needed, which rule or entry decides.

import { contains, formatIp, type Ip } from '../../../lib/ip.ts';
import type { Netlink } from '../../../lib/netlink/connection.ts';
import { NetlinkError } from '../../../lib/netlink/request.ts';
import type { Link } from '../../../lib/rtnetlink/link.ts';
import { getRoute, listRoutes, type Route, type RouteLookup } from '../../../lib/rtnetlink/route.ts';
import { RT_TABLE_MAIN } from '../../../lib/rtnetlink/rtnetlink-constants.ts';
import {
  FR_ACT_BLACKHOLE,
  FR_ACT_PROHIBIT,
  FR_ACT_UNREACHABLE,
  listRules,
  type Rule,
} from '../../../lib/rtnetlink/rule.ts';
import { EACCES, EHOSTUNREACH, EINVAL, ENETUNREACH, ENODEV, EXDEV, errnoName } from '../../../lib/sys/errno.ts';
import type { RouteAnswer } from './answers.ts';

export interface RouteQuestion {
  readonly to: Ip;
  /** Undefined for a packet of this node itself, whose source the kernel chooses. */
  readonly from?: Ip | undefined;
  /** The device by which it arrives. */
  readonly iif?: Link | undefined;
}

/** The routing tables that every kernel has from the start: local, main, default. */
const ORDINARY_TABLES: readonly number[] = [255, RT_TABLE_MAIN, 253];
const REFUSING: readonly number[] = [FR_ACT_BLACKHOLE, FR_ACT_UNREACHABLE, FR_ACT_PROHIBIT];
/** The kernel's answers for a packet without a way: unreachable, prohibit, blackhole, refused by the reverse path filter. */
const REFUSALS: readonly number[] = [EHOSTUNREACH, ENETUNREACH, EACCES, EINVAL, EXDEV, ENODEV];

/** Throws NetlinkError for any error except a refusal. */
export function askRoute(netlink: Netlink, question: RouteQuestion): RouteAnswer {
  const { to, from, iif } = question;
  const family = to.family === 6 ? '-6 ' : '';
  const words = [`ip ${family}route get ${formatIp(to)}`];
  if (from !== undefined) words.push(`from ${formatIp(from)}`);
  if (iif !== undefined) words.push(`iif ${iif.name}`);
  const lookup = { ...(from !== undefined && { from }), ...(iif !== undefined && { iif: iif.index }) };
  const { route, refused } = lookUp(netlink, to, lookup);
  const isOrdinary = route !== undefined && ORDINARY_TABLES.includes(route.table);
  return {
    spelled: words.join(' '),
    route,
    refused,
    entry: route === undefined ? refusingEntry(netlink, to) : entryOf(netlink, to, lookup),
    rule: isOrdinary ? undefined : ruleFor(netlink, question, route),
  };
}

function lookUp(netlink: Netlink, to: Ip, lookup: RouteLookup): { route?: Route; refused?: string } {
  try {
    const route = getRoute(netlink, to, lookup);
    // Several errors mean "unreachable", and getRoute does not say which one it was.
    return route === undefined ? { refused: 'EHOSTUNREACH' } : { route };
  } catch (error) {
    if (error instanceof NetlinkError && REFUSALS.includes(error.errno)) return { refused: errnoName(error.errno) };
    throw error;
  }
}

function entryOf(netlink: Netlink, to: Ip, lookup: RouteLookup): Route | undefined {
  return lookUp(netlink, to, { ...lookup, entry: true }).route;
}

/** The kernel names no entry for a refused packet; it is the longest match in the main table. */
function refusingEntry(netlink: Netlink, to: Ip): Route | undefined {
  const routes = listRoutes(netlink, { family: to.family, table: RT_TABLE_MAIN });
  const fitting = routes.filter(({ destination }) => contains(destination, to));
  return fitting.sort(
    (a, b) => b.destination.length - a.destination.length || (a.priority ?? 0) - (b.priority ?? 0),
  )[0];
}

/** The first rule that leads the packet to the table of `route`, or refuses it. */
function ruleFor(netlink: Netlink, question: RouteQuestion, route: Route | undefined): Rule | undefined {
  const rules = listRules(netlink, question.to.family).sort((a, b) => a.priority - b.priority);
  return rules.find((rule) => {
    const isSuch = route === undefined ? REFUSING.includes(rule.action) : rule.table === route.table;
    return isSuch && applies(rule, question);
  });
}

function applies({ from, to, iif, oif, mark }: Rule, question: RouteQuestion): boolean {
  if (oif !== undefined || (mark ?? 0) !== 0 || (iif !== undefined && iif !== question.iif?.name)) return false;
  if (from !== undefined && (question.from === undefined || !contains(from, question.from))) return false;
  return to === undefined || contains(to, question.to);
}
