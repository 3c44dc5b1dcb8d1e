// The addresses an administrator sets for this node by annotations of its Node. An unusable one is refused, and reported in
// the log, as an Event and in `status`; the value set before it stays in use.

import { formatIp, type Ip, type IpPrefix, parseIp } from '../../../lib/ip.ts';
import { findPublicIpProblem, publicIpExpected } from '../../../lib/public-ip.ts';
import type { Logger } from '../../health/log.ts';
import type { LeaseAttributes, NodeAddresses } from '../manager.ts';
import type { Annotations } from './annotations.ts';

export interface OwnAddressOptions {
  /** The prefix of every annotation. */
  readonly prefix: string;
  /** The networks of the enabled families; empty before they are known. */
  readonly podNetworks: () => readonly IpPrefix[];
  /** Whether the address is the broadcast address of a link of this node. */
  readonly isBroadcast: (ip: Ip) => boolean;
  /** The addresses in use in an earlier run. */
  readonly earlier: NodeAddresses | undefined;
  readonly log: Logger;
  /** Called when an annotation is refused, but not again as long as the annotations stay the same. */
  readonly onRefused: (message: string) => void;
}

const keys = [
  ['publicIp', 'node-public-ip', 4],
  ['publicIpv6', 'node-public-ipv6', 6],
  ['overwriteIp', 'public-ip-overwrite', 4],
  ['overwriteIpv6', 'public-ipv6-overwrite', 6],
] as const;

type Key = (typeof keys)[number][0];

export class OwnAddresses {
  readonly #options: OwnAddressOptions;
  readonly #kept = new Map<Key, Ip>();
  /** The annotations that were checked last, so that a problem is reported only once. */
  #texts: string | undefined;
  #chosen: NodeAddresses = {};

  constructor(options: OwnAddressOptions) {
    this.#options = options;
    for (const [key] of keys) {
      const ip = options.earlier?.[key];
      if (ip !== undefined) this.#kept.set(key, ip);
    }
  }

  /** The addresses that the Node's annotations set, and the messages about refused ones. */
  of(annotations: Annotations): NodeAddresses {
    const texts = JSON.stringify(keys.map(([, name]) => annotations.get(name) ?? ''));
    if (texts === this.#texts) return this.#chosen;
    this.#texts = texts;
    const refused: string[] = [];
    for (const [key, name, family] of keys.filter(([, , family]) => this.#isOn(family))) {
      const text = annotations.get(name) ?? '';
      const ip = text === '' ? undefined : parseOrNone(text);
      const problem = text === '' ? undefined : this.#problem(ip, family);
      if (problem !== undefined) refused.push(this.#message(key, name, family, text, problem));
      else if (ip === undefined) this.#kept.delete(key);
      else this.#kept.set(key, ip);
    }
    for (const message of refused) {
      this.#options.log.warn({ err: message }, 'address in an annotation of this node refused');
      this.#options.onRefused(message);
    }
    this.#chosen = { ...Object.fromEntries(this.#kept), ...(refused.length > 0 && { refused }) };
    return this.#chosen;
  }

  /** Annotations of a disabled family are ignored. */
  #isOn(family: 4 | 6): boolean {
    const networks = this.#options.podNetworks();
    return networks.length === 0 || networks.some(({ ip }) => ip.family === family);
  }

  #problem(ip: Ip | undefined, family: 4 | 6): string | undefined {
    if (ip?.family !== family) return `is no IPv${family} address`;
    if (this.#options.isBroadcast(ip)) return 'is the broadcast address of a link of this node';
    return findPublicIpProblem(ip, this.#options.podNetworks());
  }

  #message(key: Key, name: string, family: 4 | 6, text: string, problem: string): string {
    const { prefix, podNetworks } = this.#options;
    const kept = this.#kept.get(key);
    const instead = kept === undefined ? 'this annotation is ignored' : `${formatIp(kept)} stays in use`;
    const expected = publicIpExpected(family, podNetworks());
    const got = JSON.stringify(text.slice(0, 64));
    return `annotation ${prefix}${name}: expected ${expected}, got ${got}, which ${problem}; ${instead}`;
  }
}

/** The attributes with the administrator's overwrites, which only peers use. */
export function withOverwrites(attributes: LeaseAttributes, chosen: NodeAddresses): LeaseAttributes {
  const publicIp = attributes.publicIp && chosen.overwriteIp;
  const publicIpv6 = attributes.publicIpv6 && chosen.overwriteIpv6;
  return { ...attributes, ...(publicIp && { publicIp }), ...(publicIpv6 && { publicIpv6 }) };
}

function parseOrNone(text: string): Ip | undefined {
  try {
    return parseIp(text);
  } catch {
    return undefined; // reported as "is no IPv4 address"
  }
}
