// Asks the kernel where it would send packets of pods (RTM_GETROUTE; no packet is sent). A rule or route of another program (a VPN,
// a cloud's second interface) may divert the pod network although all our routes are in place.

import {
  addToIp,
  broadcastOf,
  contains,
  type Family,
  formatIp,
  formatPrefix,
  type Ip,
  type IpPrefix,
  networkOf,
} from '../../../lib/ip.ts';
import type { Netlink } from '../../../lib/netlink/connection.ts';
import { NetlinkError } from '../../../lib/netlink/request.ts';
import { getRoute, type Route, type RouteLookup } from '../../../lib/rtnetlink/route.ts';
import { RT_TABLE_MAIN } from '../../../lib/rtnetlink/rtnetlink-constants.ts';
import {
  FR_ACT_BLACKHOLE,
  FR_ACT_PROHIBIT,
  FR_ACT_UNREACHABLE,
  listRules,
  type Rule,
  spellRule,
} from '../../../lib/rtnetlink/rule.ts';
import { EACCES, EINVAL, ENODEV, EXDEV } from '../../../lib/sys/errno.ts';
import { MOVE_PROTOCOL } from '../../backend/moving/moved-route.ts';
import type { Finding } from './compare-pod-side.ts';

/** What is needed to check the paths of one family. */
export interface PathFamily {
  readonly network: IpPrefix;
  /** This node's own subnet. */
  readonly subnet: IpPrefix;
  /** Subnets of some other nodes. */
  readonly peers: readonly IpPrefix[];
  /** The device to other nodes' pods; `underlay` is the external interface, by which some of them are reached directly. */
  readonly device: Exit | undefined;
  readonly underlay: Exit | undefined;
}

export interface Exit {
  readonly name: string;
  readonly index: number;
}

/** The routing tables that every kernel has from the start: local, main, default. */
const ORDINARY_TABLES: readonly number[] = [255, RT_TABLE_MAIN, 253];

const REFUSING: readonly number[] = [FR_ACT_BLACKHOLE, FR_ACT_UNREACHABLE, FR_ACT_PROHIBIT];
/** Errors that mean "no path": prohibit, blackhole, a refused reverse path, a device that has just gone. */
const NOWHERE: readonly number[] = [EACCES, EINVAL, EXDEV, ENODEV];

/** One packet, and the devices by which it should leave. */
interface Question {
  readonly to: Ip;
  readonly from: Ip;
  readonly iif: Exit;
  readonly spelled: string;
  readonly exits: readonly Exit[];
}

/** What diverts a packet, and the commands that help, each by itself. */
interface Diversion {
  readonly by: 'rule' | 'route';
  readonly cause: string;
  readonly fixes: readonly string[];
  readonly spelled: string;
}

/** What diverts packets of one kind. */
export interface PathDiversion extends Diversion {
  readonly key: string;
  /** The packets, in words. */
  readonly what: string;
  /** Whether all packets of this kind are diverted. */
  readonly isAll: boolean;
}

/** Finds what diverts packets from or to this node's pods. Throws NetlinkError. */
export function pathFindings(netlink: Netlink, family: PathFamily, bridge: Exit): Finding[] {
  return pathDiversions(netlink, family, bridge).map(({ key, what, isAll, cause, spelled, fixes }) => ({
    key,
    problem: `${isAll ? '' : 'some '}${what} are sent to another device by ${cause} (${spelled}): ${fixes.join(', or ')}`,
    required: isAll,
  }));
}

/** The same in parts. Throws NetlinkError. */
export function pathDiversions(netlink: Netlink, family: PathFamily, bridge: Exit): PathDiversion[] {
  const { network, device, underlay } = family;
  const exits = [device, underlay].filter((exit) => exit !== undefined);
  if (exits.length === 0) return [];
  const out = questionsOut(family, bridge, exits);
  const inward = questionsIn(family, bridge, exits);
  const version = `IPv${network.ip.family}`;
  return [
    ...verdict(netlink, family, out, `paths of ${version} to other nodes`, `packets of pods to other nodes’ pods`),
    ...verdict(
      netlink,
      family,
      inward,
      `paths of ${version} to pods here`,
      'packets of other nodes’ pods to pods here',
    ),
  ];
}

/** An address in each half of the subnet, because a route to a /25 diverts only half of a /24. */
function samplesOf(subnet: IpPrefix): Ip[] {
  return [addToIp(networkOf(subnet).ip, 2), addToIp(broadcastOf(subnet), -2)];
}

function questionsOut({ subnet, peers }: PathFamily, bridge: Exit, exits: readonly Exit[]): Question[] {
  const from = addToIp(networkOf(subnet).ip, 2);
  return peers.flatMap(samplesOf).map((to) => question(to, from, bridge, exits));
}

function questionsIn({ subnet, peers }: PathFamily, bridge: Exit, [entrance]: readonly Exit[]): Question[] {
  const [peer] = peers;
  if (peer === undefined || entrance === undefined) return [];
  return samplesOf(subnet).map((to) => question(to, addToIp(networkOf(peer).ip, 2), entrance, [bridge]));
}

function question(to: Ip, from: Ip, iif: Exit, exits: readonly Exit[]): Question {
  const spelled = `ip route get ${formatIp(to)} from ${formatIp(from)} iif ${iif.name}`;
  return { to, from, iif, spelled, exits };
}

/** If all questions are diverted, the node does not forward; if some are, only a part is diverted. */
function verdict(
  netlink: Netlink,
  family: PathFamily,
  questions: readonly Question[],
  key: string,
  what: string,
): PathDiversion[] {
  const diversions = questions.map((one) => diversionOf(netlink, family, one));
  const found = diversions.find((one) => one !== undefined);
  if (found === undefined) return [];
  const isAll = diversions.every((one) => one !== undefined);
  return [{ ...found, key, what, isAll }];
}

function diversionOf(netlink: Netlink, { network }: PathFamily, asked: Question): Diversion | undefined {
  const answer = routeOrNowhere(netlink, asked);
  if (answer === 'nowhere') {
    // Without such a rule a route is missing or rp_filter is strict; both are reported elsewhere.
    const rule = ruleFor(netlink, asked, ({ action }) => REFUSING.includes(action));
    return rule === undefined ? undefined : byRule(rule, network, asked);
  }
  if (isRight(answer, asked.exits)) return undefined;
  if (ORDINARY_TABLES.includes(answer.table)) return byRoute(netlink, network, asked);
  const rule = ruleFor(netlink, asked, ({ table }) => table === answer.table);
  return rule === undefined ? undefined : byRule(rule, network, asked);
}

/** Whether the packet leaves by the right device. It may leave by the external interface only if the main table says so. */
function isRight({ oif, table, hops }: Route, [first, ...rest]: readonly Exit[]): boolean {
  const indexes = [oif, ...(hops ?? []).map((hop) => hop.oif)];
  if (first !== undefined && indexes.includes(first.index)) return true;
  return table === RT_TABLE_MAIN && rest.some(({ index }) => indexes.includes(index));
}

function ruleFor(netlink: Netlink, asked: Question, isSuch: (rule: Rule) => boolean): Rule | undefined {
  const rules = listRules(netlink, asked.to.family).sort((a, b) => a.priority - b.priority);
  return rules.find((rule) => isSuch(rule) && applies(rule, asked));
}

function applies({ from, to, iif, oif, mark }: Rule, asked: Question): boolean {
  if (oif !== undefined || (mark ?? 0) !== 0 || (iif !== undefined && iif !== asked.iif.name)) return false;
  return (from === undefined || contains(from, asked.from)) && (to === undefined || contains(to, asked.to));
}

function byRule(rule: Rule, network: IpPrefix, { spelled }: Question): Diversion {
  const family = network.ip.family === 6 ? '-6 ' : '';
  const before = `ip ${family}rule add to ${formatPrefix(network)} lookup main priority ${rule.priority - 1}`;
  const remove = `ip ${family}rule del priority ${rule.priority}`;
  // A new rule of priority 0 goes behind the kernel's own, and one of the same priority behind the older one, so only removing helps there.
  const fixes = rule.priority > 1 ? [before, remove] : [remove];
  return { by: 'rule', cause: `ip rule ${rule.priority}: ${spellRule(rule)}`, fixes, spelled };
}

/**
 * The route that diverts the packet; undefined when it is wider than the pod network: then a peer's route is missing, which is reported
 * elsewhere.
 */
function byRoute(netlink: Netlink, network: IpPrefix, asked: Question): Diversion | undefined {
  const entry = routeOrNowhere(netlink, asked, { entry: true });
  if (entry === 'nowhere' || entry.destination.length < network.length) return undefined;
  // This is our own route: while a cluster moves to another backend, peers that are reached by the new one have a second device.
  if (entry.protocol === MOVE_PROTOCOL) return undefined;
  const family: Family = network.ip.family;
  const spelled = formatPrefix(entry.destination);
  return {
    by: 'route',
    cause: `the route ${spelled} of protocol ${entry.protocol}`,
    fixes: [`ip ${family === 6 ? '-6 ' : ''}route del ${spelled}`],
    spelled: asked.spelled,
  };
}

function routeOrNowhere(netlink: Netlink, { to, from, iif }: Question, more: RouteLookup = {}): Route | 'nowhere' {
  try {
    return getRoute(netlink, to, { from, iif: iif.index, ...more }) ?? 'nowhere';
  } catch (error) {
    if (error instanceof NetlinkError && NOWHERE.includes(error.errno)) return 'nowhere';
    throw error;
  }
}
