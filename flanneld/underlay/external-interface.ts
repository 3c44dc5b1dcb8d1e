// Chooses the interface that carries the overlay, and its addresses, by flannel's rules (pkg/ipmatch). It is a pure function
// of what the kernel reported; an error names the reason and the candidates.

import { ConfigError } from '../../lib/errors.ts';
import type { Family, Ip, IpPrefix } from '../../lib/ip.ts';
import { contains, formatIp, formatPrefix, parseIp, sameIp } from '../../lib/ip.ts';
import { findPublicIpProblem } from '../../lib/public-ip.ts';
import type { Address } from '../../lib/rtnetlink/address.ts';
import type { Link } from '../../lib/rtnetlink/link.ts';
import type { Route } from '../../lib/rtnetlink/route-message.ts';
import { IFF_UP, RT_TABLE_MAIN, RTN_LOCAL, RTN_UNICAST } from '../../lib/rtnetlink/rtnetlink-constants.ts';
import type { InterfaceOptions } from '../cli/options.ts';
import { usableAddresses } from './usable-addresses.ts';

/** What the kernel says about this node, read once per selection. */
export interface Underlay {
  readonly links: readonly Pick<Link, 'index' | 'name' | 'flags' | 'mtu'>[];
  readonly addresses: readonly Address[];
  /** Both families, any table. */
  readonly routes: readonly Route[];
  /** The kernel's own route lookup; undefined when the address cannot be reached. */
  lookup(ip: Ip): Route | undefined;
}

export interface UnderlayAddress {
  /** The address on the interface, from which packets are sent. */
  readonly local: IpPrefix;
  /** The address to which peers send; behind NAT it differs from `local`. */
  readonly publicIp: Ip;
}

export interface ExternalInterface {
  readonly index: number;
  readonly name: string;
  readonly mtuBytes: number;
  /** Present exactly when the family is enabled. */
  readonly ipv4?: UnderlayAddress;
  readonly ipv6?: UnderlayAddress;
  /** Remarks on the choice for the log. */
  readonly notes: readonly string[];
}

/** The interface that a selector found, and the addresses that it matched (none when it matched the name). */
interface Choice {
  readonly link: Underlay['links'][number];
  readonly ips: readonly Ip[];
}

interface Selection {
  readonly underlay: Underlay;
  readonly families: readonly Family[];
  readonly options: InterfaceOptions;
  readonly notes: string[];
}

const subsystem = 'external interface';

/**
 * Chooses by --iface, else --iface-regex, else --iface-can-reach, else the owner of --public-ip, else the default route.
 * Throws ConfigError that says why each selector found nothing, and lists the candidates.
 */
export function selectExternalInterface(
  underlay: Underlay,
  families: readonly Family[],
  options: InterfaceOptions,
): ExternalInterface {
  const selection: Selection = { underlay, families, options, notes: [] };
  const { iface, ifaceRegex, ifaceCanReach } = options;
  const selectors: (readonly [string, () => Choice])[] = [
    ...iface.map((text) => [`--iface=${text}`, () => byNameOrAddress(selection, text)] as const),
    ...ifaceRegex.map((regex) => [`--iface-regex=${regex.source}`, () => byRegex(selection, regex)] as const),
  ];
  if (ifaceCanReach !== undefined) {
    selectors.push([`--iface-can-reach=${formatIp(ifaceCanReach)}`, () => byReach(selection, ifaceCanReach)]);
  }
  const isAsked = selectors.length > 0;
  const complaint = isAsked
    ? 'failed to find interface to use that matches the interfaces and/or regexes provided: '
    : '';
  if (!isAsked) selectors.push(['default route', () => byDefault(selection)]);
  const reasons: string[] = [];
  for (const [name, choose] of selectors) {
    try {
      return complete(selection, choose());
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      reasons.push(`${name}: ${error.message}`);
    }
  }
  throw new ConfigError(subsystem, '', `${complaint}${reasons.join('; ')}; ${listCandidates(selection)}`);
}

/** Says why one selector found nothing; then the next one is tried. */
class Refusal extends Error {}

function byNameOrAddress(selection: Selection, text: string): Choice {
  const { links, addresses } = selection.underlay;
  const asked = ipOrUndefined(text);
  const owner = asked && addresses.find(({ ip }) => sameIp(ip, asked));
  if (owner !== undefined) return { link: linkOf(selection, owner.index), ips: [owner.ip] };
  const link = links.find(({ name }) => name === text);
  if (link === undefined)
    throw new Refusal(asked === undefined ? 'no interface has this name' : 'no interface with given IP');
  return { link, ips: [] };
}

function ipOrUndefined(text: string): Ip | undefined {
  try {
    return parseIp(text);
  } catch {
    return undefined; // the text is an interface name
  }
}

/** First tries addresses: one interface needs a match for every enabled family. Then it tries names. Lowest index first. */
function byRegex(selection: Selection, regex: RegExp): Choice {
  const links = [...selection.underlay.links].sort((a, b) => a.index - b.index);
  for (const link of links) {
    const matches = selection.families.map((family) =>
      usableOf(selection, link.index, family).find(({ ip }) => regex.test(formatIp(ip))),
    );
    const ips = matches.flatMap((match) => (match === undefined ? [] : [match.ip]));
    if (ips.length === selection.families.length) return { link, ips };
  }
  const named = links.find(({ name }) => regex.test(name));
  if (named === undefined) throw new Refusal('matches no address and no name');
  return { link: named, ips: [] };
}

function byReach(selection: Selection, target: Ip): Choice {
  const route = selection.underlay.lookup(target);
  if (route === undefined) throw new Refusal('the kernel has no route to it');
  // A lookup of one of this node's own addresses answers "dev lo".
  const own = route.type === RTN_LOCAL ? selection.underlay.addresses.find(({ ip }) => sameIp(ip, target)) : undefined;
  const index = own?.index ?? route.oif;
  if (index === undefined) throw new Refusal('the route to it names no interface');
  const source = own?.ip ?? route.prefSrc;
  return { link: linkOf(selection, index), ips: source === undefined ? [] : [source] };
}

/**
 * Differs from flannel (D27), which requires --public-ip to be an address of this node. Behind NAT it is not; then the default route
 * decides.
 */
function byDefault(selection: Selection): Choice {
  const { options, underlay, families, notes } = selection;
  const asked = [families.includes(4) && options.publicIp, families.includes(6) && options.publicIpv6].find(Boolean);
  if (asked) {
    const owner = underlay.addresses.find(({ ip }) => sameIp(ip, asked));
    if (owner !== undefined) return { link: linkOf(selection, owner.index), ips: [owner.ip] };
    notes.push(
      `${formatIp(asked)} is on no interface: it is advertised as a NAT address, and the default route decides which interface is used`,
    );
  }
  const indexes = families.map((family) => defaultRouteInterface(selection, family));
  const [index] = indexes;
  if (index === undefined || indexes.some((other) => other !== index)) {
    const names = indexes.map((each) => (each === undefined ? '?' : linkOf(selection, each).name));
    throw new Refusal(
      `IPv4 and IPv6 use different interfaces (${names.join(', ')}), but one interface must carry both`,
    );
  }
  return { link: linkOf(selection, index), ips: [] };
}

/** The default route of the main table with the lowest metric; the kernel's order decides among equals. */
function defaultRouteInterface(selection: Selection, family: Family): number {
  const routes = selection.underlay.routes.filter(
    ({ destination, table, type }) =>
      destination.length === 0 && destination.ip.family === family && table === RT_TABLE_MAIN && type === RTN_UNICAST,
  );
  const [route] = routes.sort((a, b) => (a.priority ?? 0) - (b.priority ?? 0));
  if (route === undefined) throw new Refusal(`there is none for IPv${family}`);
  if (route.oif !== undefined) return route.oif;
  const [hop, ...others] = route.hops ?? [];
  if (hop === undefined)
    throw new Refusal(`found default route but could not determine interface: the one for IPv${family} names none`);
  if (others.some(({ oif }) => oif !== hop.oif)) {
    selection.notes.push(`the IPv${family} default route has several interfaces, the first one is used`);
  }
  return hop.oif;
}

function linkOf(selection: Selection, index: number): Choice['link'] {
  const link = selection.underlay.links.find((each) => each.index === index);
  if (link === undefined) throw new Refusal(`interface ${index} is gone`);
  return link;
}

function usableOf(selection: Selection, index: number, family: Family): Address[] {
  return usableAddresses(selection.underlay.addresses, index, family);
}

/** Adds an address of every enabled family; refuses an interface that lacks one. */
function complete(selection: Selection, { link, ips }: Choice): ExternalInterface {
  if (link.mtu === 0) throw new Refusal(`${link.name} has MTU 0`);
  const { options, families, notes } = selection;
  const ipv4 = families.includes(4) ? underlayAddress(selection, link, 4, ips, options.publicIp) : undefined;
  const ipv6 = families.includes(6) ? underlayAddress(selection, link, 6, ips, options.publicIpv6) : undefined;
  if ((link.flags & IFF_UP) === 0) notes.push(`${link.name} is down`);
  if (options.publicIp && !ipv4) notes.push('--public-ip is not used, because IPv4 is off');
  if (options.publicIpv6 && !ipv6) notes.push('--public-ipv6 is not used, because IPv6 is off');
  return {
    index: link.index,
    name: link.name,
    mtuBytes: link.mtu,
    ...(ipv4 && { ipv4 }),
    ...(ipv6 && { ipv6 }),
    notes,
  };
}

/** The address that led to the choice, else the best usable one. */
function underlayAddress(
  selection: Selection,
  link: Choice['link'],
  family: Family,
  ips: readonly Ip[],
  publicIp: Ip | undefined,
): UnderlayAddress {
  const asked = ips.find((ip) => ip.family === family);
  const chosen =
    asked === undefined
      ? usableOf(selection, link.index, family)[0]
      : selection.underlay.addresses.find(({ ip, index }) => index === link.index && sameIp(ip, asked));
  // A route's preferred source may be on another interface: BGP set-ups often use a loopback address.
  if (chosen === undefined && asked !== undefined) {
    return { local: { ip: asked, length: family === 4 ? 32 : 128 }, publicIp: publicIp ?? asked };
  }
  if (chosen === undefined) throw new Refusal(`${link.name} has no usable IPv${family} address`);
  return { local: { ip: chosen.ip, length: chosen.length }, publicIp: publicIp ?? chosen.ip };
}

/** `candidates: eth0 [10.0.0.1 fd00::1], eth1 [10.1.0.1]`, at most eight. */
function listCandidates(selection: Selection): string {
  const all: string[] = [];
  for (const link of selection.underlay.links) {
    const usable = [4, 6].flatMap((family) => usableOf(selection, link.index, family === 4 ? 4 : 6));
    const ips = usable.map(({ ip }) => formatIp(ip)).join(' ');
    if (ips !== '') all.push(`${link.name} [${ips}]`);
  }
  if (all.length === 0) return 'no interface has a usable address';
  return `candidates: ${all.slice(0, 8).join(', ')}${all.length > 8 ? ` and ${all.length - 8} more` : ''}`;
}

/**
 * Throws ConfigError when no other node can send to the chosen address, or when that address lies inside the cluster
 * network, because then the nodes would route the tunnel's own packets into the tunnel. The other way round (an underlay of 10.0.0.0/8
 * around a network of 10.244.0.0/16) works.
 */
export function checkUnderlay(external: ExternalInterface, networks: readonly IpPrefix[]): void {
  for (const network of networks) {
    const address = network.ip.family === 4 ? external.ipv4 : external.ipv6;
    if (address === undefined) continue;
    for (const ip of [address.local.ip, address.publicIp]) {
      const problem = contains(network, ip)
        ? `lies inside the cluster network ${formatPrefix(network)}`
        : findPublicIpProblem(ip, []);
      if (problem === undefined) continue;
      throw new ConfigError(subsystem, '', `${formatIp(ip)} of ${external.name} ${problem}`);
    }
  }
}
