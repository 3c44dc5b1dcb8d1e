// The kernel's objects as rtnetlink lists them, one JSON object on a line.

import { formatIp, formatPrefix, type Ip, type IpPrefix } from '../../../lib/ip.ts';
import type { Netlink } from '../../../lib/netlink/connection.ts';
import { listAddresses } from '../../../lib/rtnetlink/address.ts';
import { listFdb } from '../../../lib/rtnetlink/fdb.ts';
import { listLinks } from '../../../lib/rtnetlink/link.ts';
import { listNeighs } from '../../../lib/rtnetlink/neigh.ts';
import { listNexthops } from '../../../lib/rtnetlink/nexthop.ts';
import { listRoutes } from '../../../lib/rtnetlink/route.ts';
import { listRules } from '../../../lib/rtnetlink/rule.ts';
import type { Sources } from './sources.ts';

const FAMILIES = [4, 6] as const;

export function kernelTexts(netlink: Netlink): Sources {
  // Only tunnels matter here: pods' ports and other bridges may have thousands of entries.
  const tunnels = (): number[] =>
    listLinks(netlink)
      .filter((link) => link.vxlan !== undefined)
      .map(({ index }) => index);
  return [
    ['kernel/links.jsonl', () => lines(listLinks(netlink))],
    ['kernel/addresses.jsonl', () => lines(listAddresses(netlink))],
    ['kernel/neighbours.jsonl', () => lines(listNeighs(netlink))],
    ['kernel/fdb.jsonl', () => lines(tunnels().flatMap((index) => listFdb(netlink, { index })))],
    ['kernel/routes.jsonl', () => lines(FAMILIES.flatMap((family) => listRoutes(netlink, { family })))],
    ['kernel/rules.jsonl', () => lines(FAMILIES.flatMap((family) => listRules(netlink, family)))],
    ['kernel/nexthops.jsonl', () => lines(listNexthops(netlink))],
  ];
}

function lines(objects: readonly object[]): string {
  return objects.map((object) => `${JSON.stringify(object, readable)}\n`).join('');
}

/** Addresses and prefixes as people write them. */
function readable(_: string, value: unknown): unknown {
  if (typeof value === 'bigint') return value.toString();
  if (isIp(value)) return formatIp(value);
  return isPrefix(value) ? formatPrefix(value) : value;
}

function isIp(value: unknown): value is Ip {
  return typeof value === 'object' && value !== null && 'value' in value && typeof value.value === 'bigint';
}

function isPrefix(value: unknown): value is IpPrefix {
  return typeof value === 'object' && value !== null && 'ip' in value && isIp(value.ip) && 'length' in value;
}
