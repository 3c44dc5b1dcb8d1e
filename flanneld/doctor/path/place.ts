// What one end of a path is: a pod of this node or of another, a node, or an address outside the pod network, such as a Service or the
// internet. Pure; the caller has read the leases, this node's addresses and the runtime's cache.

import { contains, formatIp, type Ip, type IpPrefix, parseIp, sameIp } from '../../../lib/ip.ts';
import { UsageError } from '../../cli/go-flags.ts';
import type { Lease } from '../../subnet/manager.ts';

export type PlaceKind = 'pod here' | 'pod there' | 'this node' | 'other node' | 'no node' | 'outside';

export interface Place {
  readonly kind: PlaceKind;
  readonly ip: Ip;
  /** The other node, by the name in its lease. */
  readonly peer?: string;
  /** For people: `pod 10.244.1.2`, `node node-2 (192.168.50.12)`. */
  readonly text: string;
}

/** A pod of this node, as the runtime's cache has it. */
export interface KnownPod {
  readonly containerId: string;
  /** `namespace/name`, where the runtime says so. */
  readonly name: string | undefined;
  readonly ips: readonly Ip[];
}

export interface Surroundings {
  readonly node: string;
  readonly networks: readonly IpPrefix[];
  /** This node's own subnets. */
  readonly subnets: readonly IpPrefix[];
  readonly ownAddresses: readonly Ip[];
  readonly ownKey: string | undefined;
  readonly leases: ReadonlyMap<string, Lease>;
  readonly pods: readonly KnownPod[];
}

/** With fewer characters, a container's id would soon match a second container. */
const SHORTEST_ID = 6;

/** Both ends in one family: a name may have an address in each. Throws UsageError for a word that means nothing here. */
export function placesOf(from: string, to: string, around: Surroundings): { from: Place; to: Place } {
  const starts = addressesOf(from, around);
  const ends = addressesOf(to, around);
  for (const start of starts) {
    const end = ends.find(({ family }) => family === start.family);
    if (end !== undefined) return { from: placeOf(start, from, around), to: placeOf(end, to, around) };
  }
  throw new UsageError(`${quote(from)} and ${quote(to)} have no addresses of the same family`);
}

function addressesOf(word: string, around: Surroundings): Ip[] {
  const ip = addressIn(word);
  if (ip !== undefined) return [ip];
  const lease = word === around.node ? around.leases.get(around.ownKey ?? '') : around.leases.get(word);
  if (lease !== undefined) return [lease.publicIp, lease.publicIpv6].filter((each) => each !== undefined);
  if (word === around.node) return [...around.ownAddresses];
  const pod = around.pods.find((each) => isCalled(each, word));
  if (pod !== undefined) return [...pod.ips];
  throw new UsageError(
    `${quote(word)} is no address, no node with a lease, and no pod of this node (namespace/name, or its container's id)`,
  );
}

function addressIn(word: string): Ip | undefined {
  try {
    return parseIp(word);
  } catch {
    return undefined;
  }
}

function isCalled({ name, containerId }: KnownPod, word: string): boolean {
  if (word.length >= SHORTEST_ID && containerId.startsWith(word)) return true;
  return name !== undefined && (name === word || name.endsWith(`/${word}`));
}

function placeOf(ip: Ip, word: string, around: Surroundings): Place {
  const text = formatIp(ip);
  const named = word === text ? text : `${word} (${text})`;
  if (around.ownAddresses.some((own) => sameIp(own, ip))) return { kind: 'this node', ip, text: `this node ${named}` };
  if (around.subnets.some((subnet) => contains(subnet, ip))) return { kind: 'pod here', ip, text: `pod ${named}` };
  for (const [peer, lease] of around.leases) {
    if (peer === around.ownKey) continue;
    if (publicIpsOf(lease).some((own) => sameIp(own, ip)))
      return { kind: 'other node', ip, peer, text: `node ${named}` };
    if (subnetsOf(lease).some((subnet) => contains(subnet, ip))) {
      return { kind: 'pod there', ip, peer, text: `pod ${named} of ${peer}` };
    }
  }
  if (around.networks.some((network) => contains(network, ip))) return { kind: 'no node', ip, text: named };
  return { kind: 'outside', ip, text: named };
}

function subnetsOf({ subnet, ipv6Subnet }: Lease): IpPrefix[] {
  return [subnet, ipv6Subnet].filter((each) => each !== undefined);
}

function publicIpsOf({ publicIp, publicIpv6, hostAddresses = [] }: Lease): Ip[] {
  return [publicIp, publicIpv6, ...hostAddresses].filter((each) => each !== undefined);
}

function quote(word: string): string {
  return JSON.stringify(word.slice(0, 64));
}

/** The place of another address, such as that of the pod behind a Service. */
export function placeAt(ip: Ip, around: Surroundings): Place {
  return placeOf(ip, formatIp(ip), around);
}
