// Where the kernel would send packets (RTM_GETROUTE; nothing is sent): those of a pod here, of another node's pod, of this node itself, and
// the tunnel packets that arrive from another node.

import { addToIp, formatIp, type Ip, networkOf } from '../../../lib/ip.ts';
import type { Netlink } from '../../../lib/netlink/connection.ts';
import { NetlinkError } from '../../../lib/netlink/request.ts';
import { getRoute, type RouteLookup } from '../../../lib/rtnetlink/route.ts';
import { listRules, type Rule } from '../../../lib/rtnetlink/rule.ts';
import { type PathDiversion, pathDiversions } from '../../pods/side/paths.ts';
import type { BridgeFacts, FamilyFacts, UnderlayFacts } from './facts.ts';
import type { Reads } from './reads.ts';

/** A look-up that the kernel answered with an error. */
export interface RefusedLookup {
  /** `outer`: a tunnel packet to a peer; `reverse`: a packet from a peer, on the device by which it arrives. */
  readonly form: 'outer' | 'reverse';
  readonly peer: string;
  /** The look-up as a command. */
  readonly spelled: string;
  /** The kernel's error: EINVAL for a blackhole or a refused reverse path, EACCES for prohibit. */
  readonly error: string;
  /** The device of a reverse look-up. */
  readonly device?: string;
  /** The rule that refuses it, if there is one. */
  readonly rule?: Rule;
}

export interface PathFacts {
  readonly diversions: readonly PathDiversion[];
  readonly refused: readonly RefusedLookup[];
}

/** How many peers are looked up; a look-up takes 40 µs. */
const PEERS_ASKED = 1000;
/** fib_rules.h: blackhole, unreachable, prohibit. */
const REFUSING: readonly number[] = [6, 7, 8];

export function pathFacts(
  netlink: Netlink,
  families: readonly FamilyFacts[],
  underlay: UnderlayFacts | undefined,
  bridge: BridgeFacts,
  reads: Reads,
): PathFacts {
  const diversions: PathDiversion[] = [];
  const refused: RefusedLookup[] = [];
  for (const facts of families) {
    const { family } = facts;
    const found = reads.one(`the IPv${family} paths`, () => diversionsOf(netlink, facts, underlay, bridge));
    diversions.push(...(found ?? []));
    const lookups = reads.one(`the IPv${family} look-ups`, () => refusedLookups(netlink, facts, underlay));
    refused.push(...(lookups ?? []));
  }
  return { diversions, refused };
}

function diversionsOf(
  netlink: Netlink,
  { network, subnet, tunnel, peers }: FamilyFacts,
  underlay: UnderlayFacts | undefined,
  { link: bridge }: BridgeFacts,
): PathDiversion[] {
  if (subnet === undefined || bridge === undefined) return [];
  const device = tunnel?.link;
  if (tunnel !== undefined && device === undefined) return [];
  const asked = peers.slice(0, PEERS_ASKED).map((peer) => peer.subnet);
  return pathDiversions(netlink, { network, subnet, peers: asked, device, underlay: underlay?.link }, bridge);
}

function refusedLookups(
  netlink: Netlink,
  { subnet, tunnel, peers }: FamilyFacts,
  underlay: UnderlayFacts | undefined,
): RefusedLookup[] {
  const found: RefusedLookup[] = [];
  const device = tunnel?.link;
  for (const { key: peer, publicIp, subnet: theirs } of peers.slice(0, PEERS_ASKED)) {
    const ask = (form: RefusedLookup['form'], to: Ip, lookup: RouteLookup = {}, dev?: string): void => {
      const error = lookupError(netlink, to, lookup);
      if (error === undefined) return;
      const { from } = lookup;
      const spelled = `ip route get ${formatIp(to)}${from && dev ? ` from ${formatIp(from)} iif ${dev}` : ''}`;
      const rule = form === 'outer' ? refusingRule(netlink, to) : undefined;
      found.push({ form, peer, spelled, error, ...(dev && { device: dev }), ...(rule && { rule }) });
    };
    ask('outer', publicIp);
    const local = underlay?.locals.find(({ family }) => family === publicIp.family);
    const { link } = underlay ?? {};
    if (local !== undefined && link !== undefined)
      ask('reverse', local, { from: publicIp, iif: link.index }, link.name);
    if (subnet === undefined || device === undefined) continue;
    const [inside, outside] = [subnet, theirs].map((prefix) => addToIp(networkOf(prefix).ip, 2));
    if (inside && outside) ask('reverse', inside, { from: outside, iif: device.index }, device.name);
  }
  return found;
}

/** The rule that refuses packets from this node itself to an address. */
function refusingRule(netlink: Netlink, to: Ip): Rule | undefined {
  return listRules(netlink, to.family).find(({ action, iif, to: prefix }) => {
    if (!REFUSING.includes(action) || (iif !== undefined && iif !== 'lo')) return false;
    return prefix === undefined || sameNetwork(prefix.ip, prefix.length, to);
  });
}

function sameNetwork(base: Ip, length: number, ip: Ip): boolean {
  return networkOf({ ip: base, length }).ip.value === networkOf({ ip, length }).ip.value;
}

/** The kernel's error; undefined when it answers with a route, or when only forwarding is off. */
function lookupError(netlink: Netlink, to: Ip, lookup: RouteLookup): string | undefined {
  try {
    const route = getRoute(netlink, to, lookup);
    return route === undefined && lookup.iif === undefined ? 'ENETUNREACH' : undefined;
  } catch (error) {
    if (error instanceof NetlinkError) return error.code;
    throw error;
  }
}
