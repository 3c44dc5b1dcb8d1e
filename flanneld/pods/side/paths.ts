// Where the kernel would send packets of pods, asked of the kernel itself (RTM_GETROUTE, no packet is sent): a rule or a
// route of somebody (a VPN, a cloud's second interface) may lead the pod network elsewhere, though every route of ours
// is in its place.

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
import { RT_TABLE_MAIN } from '../../../lib/rtnetlink/constants.ts';
import { getRoute, type Route, type RouteLookup } from '../../../lib/rtnetlink/route.ts';
import {
  FR_ACT_BLACKHOLE,
  FR_ACT_PROHIBIT,
  FR_ACT_UNREACHABLE,
  listRules,
  type Rule,
  spellRule,
} from '../../../lib/rtnetlink/rule.ts';
import { EACCES, EINVAL, ENODEV, EXDEV } from '../../../lib/sys/errno.ts';
import type { Finding } from './compare.ts';

/** One family, as far as paths matter. */
export interface PathFamily {
  readonly network: IpPrefix;
  /** This node's own. */
  readonly subnet: IpPrefix;
  /** Some of the other nodes'. */
  readonly peers: readonly IpPrefix[];
  /** The device to other nodes' pods, and for some of them the external interface. */
  readonly device: Exit | undefined;
  readonly underlay: Exit | undefined;
}

export interface Exit {
  readonly name: string;
  readonly index: number;
}

/** Tables of a system nobody changed: local, main, default. */
const ORDINARY_TABLES: readonly number[] = [255, RT_TABLE_MAIN, 253];

const REFUSING: readonly number[] = [FR_ACT_BLACKHOLE, FR_ACT_UNREACHABLE, FR_ACT_PROHIBIT];
/** prohibit, blackhole; a reverse path that is refused; a device that has just gone. */
const NOWHERE: readonly number[] = [EACCES, EINVAL, EXDEV, ENODEV];

/** One packet, and where it should leave. */
interface Question {
  readonly to: Ip;
  readonly from: Ip;
  readonly iif: Exit;
  readonly spelled: string;
  readonly exits: readonly Exit[];
}

/** What takes it elsewhere, and the command against it; undefined: it goes where it should, or nobody can tell. */
interface Diversion {
  readonly cause: string;
  readonly fix: string;
  readonly spelled: string;
}

/** What leads packets from or to this node's pods elsewhere. Throws NetlinkError. */
export function pathFindings(netlink: Netlink, family: PathFamily, bridge: Exit): Finding[] {
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

/** An address in each half of a subnet: a /25 takes half of a /24. */
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

/** All of them led elsewhere: the node does not forward. Some: somebody takes a part. */
function verdict(
  netlink: Netlink,
  family: PathFamily,
  questions: readonly Question[],
  key: string,
  what: string,
): Finding[] {
  const diversions = questions.map((one) => diversionOf(netlink, family, one));
  const found = diversions.find((one) => one !== undefined);
  if (found === undefined) return [];
  const isAll = diversions.every((one) => one !== undefined);
  const { cause, fix, spelled } = found;
  return [
    {
      key,
      problem: `${isAll ? '' : 'some '}${what} are led elsewhere by ${cause} (${spelled}): ${fix}`,
      required: isAll,
    },
  ];
}

function diversionOf(netlink: Netlink, { network }: PathFamily, asked: Question): Diversion | undefined {
  const answer = routeOrNowhere(netlink, asked);
  if (answer === 'nowhere') {
    // Without such a rule it is a route that is missing, or a strict rp_filter: both are told elsewhere.
    const rule = ruleFor(netlink, asked, ({ action }) => REFUSING.includes(action));
    return rule === undefined ? undefined : byRule(rule, network, asked);
  }
  if (isRight(answer, asked.exits)) return undefined;
  if (ORDINARY_TABLES.includes(answer.table)) return byRoute(netlink, network, asked);
  const rule = ruleFor(netlink, asked, ({ table }) => table === answer.table);
  return rule === undefined ? undefined : byRule(rule, network, asked);
}

/** By the external interface only as the main table says: a host route to a peer is there. */
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
  const before = Math.max(rule.priority - 1, 1);
  return {
    cause: `ip rule ${rule.priority}: ${spellRule(rule)}`,
    fix: `ip ${family}rule add to ${formatPrefix(network)} lookup main priority ${before}, or ip ${family}rule del priority ${rule.priority}`,
    spelled,
  };
}

/** Undefined where nothing closer than the whole pod network leads there: a peer whose route fails is told elsewhere. */
function byRoute(netlink: Netlink, network: IpPrefix, asked: Question): Diversion | undefined {
  const entry = routeOrNowhere(netlink, asked, { entry: true });
  if (entry === 'nowhere' || entry.destination.length < network.length) return undefined;
  const family: Family = network.ip.family;
  const spelled = formatPrefix(entry.destination);
  return {
    cause: `the route ${spelled} of protocol ${entry.protocol}`,
    fix: `ip ${family === 6 ? '-6 ' : ''}route del ${spelled}, and see who made it`,
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
