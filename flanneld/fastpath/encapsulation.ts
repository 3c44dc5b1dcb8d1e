// Whether programs may encapsulate and decapsulate IPv4 packets themselves (the mode `full`), and what they need for it, as a pure function
// of what was read. Programs only do so for a tunnel as flannel makes it, on a plain Ethernet device. In any other case packets are
// redirected through the tunnel's device.

import { formatPrefix, type Ip } from '../../lib/ip.ts';
import type { Mac } from '../../lib/mac.ts';
import type { FdbEntry } from '../../lib/rtnetlink/fdb.ts';
import type { Link } from '../../lib/rtnetlink/link.ts';
import type { Route } from '../../lib/rtnetlink/route.ts';
import { IFF_LOOPBACK, IFF_UP, NUD_PERMANENT } from '../../lib/rtnetlink/rtnetlink-constants.ts';
import type { VxlanAttributes } from '../../lib/rtnetlink/vxlan-attributes.ts';
import type { Observed } from './observe.ts';
import type { OuterSettings } from './programs/settings.ts';

/**
 * How long programs keep the kernel's answer about the way. Where a route has several next hops the answer depends on the flow and is not
 * kept.
 */
const KEEP_WAY_NS = 10_000_000;

/** Outer IP, UDP, VXLAN, inner Ethernet. */
const TUNNEL_BYTES = 50;

/** What programs need, and the external interface. */
export interface Outer {
  readonly settings: OuterSettings;
  readonly underlay: Link;
}

/** Returns the reason in words when programs may not encapsulate. */
export function outerOf(observed: Observed, tunnel: Link): Outer | string {
  const { vxlan, mac } = tunnel;
  if (vxlan === undefined || mac === undefined) return `${tunnel.name} is no VXLAN device`;
  const { local, port, vni } = vxlan;
  if (local?.family !== 4 || port === undefined) return `${tunnel.name} is not over IPv4`;
  const odd = oddOption(vxlan);
  if (odd !== undefined) return `${tunnel.name} has ${odd}`;
  const underlay = observed.links.find(({ index }) => index === vxlan.lowerIndex);
  if (underlay === undefined) return `${tunnel.name} is on no device`;
  const reason = notPlain(underlay);
  if (reason !== undefined) return `${underlay.name} ${reason}`;
  const queue = observed.qdiscs.find(({ index, kind }) => index === underlay.index && !PLAIN_QUEUES.has(kind));
  if (queue !== undefined) return `traffic control (tc qdisc ${queue.kind}) is set up on ${underlay.name}`;
  const route = observed.routes.find((one) => isOdd(one, underlay, tunnel.mtu + TUNNEL_BYTES));
  if (route !== undefined) return `the kernel treats packets to ${formatPrefix(route.destination)} in a special way`;
  const { ttl, sourcePorts } = observed;
  if (ttl === undefined || sourcePorts === undefined) return 'the kernel does not say its ttl and ports';
  const isSpread = observed.routes.some(({ family, hops }) => family === 4 && hops !== undefined);
  const keepWayNs = isSpread ? 0 : KEEP_WAY_NS;
  const place = { underlayIfindex: underlay.index, local, ownMac: mac };
  return { underlay, settings: { ...place, vni, port, ttl, sourcePorts, keepWayNs } };
}

/** Names an option of the tunnel's device that changes its packets, so that programs would send other ones. */
function oddOption({ gbp, ttl = 0, tos = 0, collectMetadata, learning }: VxlanAttributes): string | undefined {
  if (gbp === true) return 'group policies';
  if (ttl !== 0) return `ttl ${ttl}`;
  if (tos !== 0) return `tos ${tos}`;
  if (learning) return 'learning';
  return collectMetadata === true ? 'external metadata' : undefined;
}

function notPlain({ flags, mac, master, kind }: Link): string | undefined {
  if ((flags & IFF_UP) === 0) return 'is down';
  if (mac === undefined || (flags & IFF_LOOPBACK) !== 0) return 'is no Ethernet device';
  if (master !== undefined) return 'belongs to a bridge, bond or VRF';
  return kind === undefined || kind === 'veth' ? undefined : `is of kind ${kind}`;
}

/** Whether the kernel would send smaller packets, or packets with another ttl, by a route out of the external interface. */
function isOdd({ family, oif, hops, mtu, hopLimit }: Route, { index }: Link, packetBytes: number): boolean {
  if (family !== 4 || (oif !== index && hops?.every((hop) => hop.oif !== index) !== false)) return false;
  return hopLimit !== undefined || (mtu !== undefined && mtu < packetBytes);
}

/**
 * Queues that only keep packets in order or share a link among flows. Any other one may be there to limit or to sort packets. A clsact hook
 * may be ours. Filters of others at it either count as programs of others, or see what the programs send as before.
 */
const PLAIN_QUEUES: ReadonlySet<string> = new Set(['noqueue', 'mq', 'pfifo_fast', 'pfifo', 'fq_codel', 'fq', 'clsact']);

/** The underlay address to which the tunnel's device sends frames for each MAC. A MAC without exactly one IPv4 address is missing. */
export function outerAddresses(fdb: readonly FdbEntry[], tunnelIndex: number): ReadonlyMap<Mac, Ip> {
  const found = new Map<Mac, Ip | undefined>();
  for (const entry of fdb) {
    if (entry.index !== tunnelIndex) continue;
    const { mac, destination, state, port, vni, nexthopId } = entry;
    const isPlain = state === NUD_PERMANENT && port === undefined && vni === undefined && nexthopId === undefined;
    found.set(mac, isPlain && destination?.family === 4 && !found.has(mac) ? destination : undefined);
  }
  return new Map([...found].flatMap(([mac, ip]): [Mac, Ip][] => (ip === undefined ? [] : [[mac, ip]])));
}
