// Follows this node's interface and addresses in the underlay while the agent runs. They are chosen again only when the
// interface has gone or is down, when an address is lost, deprecated or a duplicate, or when annotations name other
// addresses. What works is kept. Differs from flannel, which chooses once (#1052, #408).

import type { Clock } from '../../lib/clock-node.ts';
import { ConfigError, errorText } from '../../lib/errors.ts';
import { formatIp, type Ip, isLinkLocal, sameIp } from '../../lib/ip.ts';
import { type Loop, startLoop } from '../../lib/loop-node.ts';
import type { Netlink } from '../../lib/netlink/connection.ts';
import { listAddresses } from '../../lib/rtnetlink/address.ts';
import type { RtnetlinkEvent } from '../../lib/rtnetlink/event.ts';
import { getLink } from '../../lib/rtnetlink/link.ts';
import { IFA_F_DADFAILED, IFA_F_DEPRECATED, IFF_UP } from '../../lib/rtnetlink/rtnetlink-constants.ts';
import { createFailureLog, type FailureLog, type Logger } from '../health/log.ts';
import type { Readiness } from '../health/readiness.ts';
import type { NodeAddresses } from '../subnet/manager.ts';
import type { ExternalInterface, UnderlayAddress } from './external-interface.ts';

/** What the follower needs from outside. */
export interface UnderlayTools {
  readonly netlink: Netlink;
  readonly log: Logger;
  readonly clock: Clock;
}

/** Name of its line in /readyz?verbose. */
export const UNDERLAY_CHECK = 'external interface';

/** A chosen interface with its addresses, and the addresses of the cluster state that led to the choice. */
export interface Place {
  readonly external: ExternalInterface;
  readonly addresses: NodeAddresses;
}

interface Problem {
  readonly text: string;
  /** The place still works, and is left only for a better one. */
  readonly isNear?: boolean;
}

/** How long an address must be absent before another interface is chosen: a renewed DHCP lease removes it for a moment. */
const SETTLE_MS = 2000;
/** How often to check without an event while something is wrong. */
const RETRY_MS = 1000;
const AUDIT_MS = 30_000;
const GAP_MS = 10;

export class UnderlayFollower {
  readonly #choosePlace: (addresses: NodeAddresses) => Place;
  readonly #nodeAddresses: () => NodeAddresses | undefined;
  readonly #readiness: Readiness;
  readonly #tools: UnderlayTools;
  readonly #failures: FailureLog;
  readonly #loop: Loop;
  #place: Place;
  /** The interface's index, which changes when it is removed and plugged in again. */
  #index: number;
  /** Whether something is wrong with the place; then every event may be about a way out. */
  #isTroubled = false;
  #wrongSinceMs: number | undefined;
  #onMove: ((place: Place) => void) | undefined;

  /**
   * `choosePlace` chooses as at the start and throws ConfigError when it finds nothing. `nodeAddresses` returns the addresses
   * that the cluster state names for this node now; undefined when it has not said.
   */
  constructor(
    place: Place,
    choosePlace: (addresses: NodeAddresses) => Place,
    nodeAddresses: () => NodeAddresses | undefined,
    readiness: Readiness,
    tools: UnderlayTools,
  ) {
    this.#place = place;
    this.#index = place.external.index;
    this.#choosePlace = choosePlace;
    this.#nodeAddresses = nodeAddresses;
    this.#readiness = readiness;
    this.#tools = tools;
    this.#failures = createFailureLog(tools.log);
    this.#loop = startLoop({
      run: () => Promise.resolve(this.#look()),
      onError: (error) => this.#failures.failed('look', error, {}, 'own addresses cannot be read, will retry'),
      clock: tools.clock,
      minGapMs: GAP_MS,
      auditMs: AUDIT_MS,
    });
  }

  /** Whether an event may be about the place; the thousands of events about pods must not wake the follower. */
  isConcerned(event: RtnetlinkEvent): boolean {
    const { ipv4, ipv6 } = this.#place.external;
    switch (event.kind) {
      case 'link':
        return this.#isTroubled || event.object.index === this.#index;
      case 'address':
        return this.#isTroubled || [ipv4, ipv6].some((own) => own && sameIp(own.local.ip, event.object.ip));
      case 'route':
        return this.#isTroubled && event.object.destination.length === 0;
      default:
        return false;
    }
  }

  /** Makes the follower check again soon. */
  wake(): void {
    this.#loop.wake('underlay');
  }

  /** Resolves with the next place once the present one is no longer right. Wait for one call before making the next. */
  next(): Promise<Place> {
    return new Promise((resolve) => {
      this.#onMove = resolve;
      this.wake();
    });
  }

  async stop(): Promise<void> {
    await this.#loop.stop();
  }

  /** Returns when to check again without an event, in ms. */
  #look(): number | undefined {
    if (this.#onMove === undefined) return undefined;
    const addresses = this.#nodeAddresses() ?? this.#place.addresses;
    const isWanted = sameAddresses(addresses, this.#place.addresses);
    const problem = isWanted ? this.#problem() : undefined;
    this.#isTroubled = !isWanted || problem !== undefined;
    if (isWanted && problem === undefined) return this.#fine();
    const place = this.#choose(addresses, problem);
    if (place === undefined) return problem?.isNear === true ? this.#fine() : RETRY_MS;
    if (isWanted && !isBetter(place.external, this.#place.external)) return this.#stay(problem);
    if (problem !== undefined) this.#readiness.failed(UNDERLAY_CHECK, problem.text);
    const waitMs = isWanted ? this.#waitMs(place.external) : 0;
    if (waitMs > 0) return waitMs;
    this.#move(place, problem?.text ?? 'the cluster state names other addresses for this node');
    return undefined;
  }

  /** What is wrong with the present place; undefined when it can carry packets. */
  #problem(): Problem | undefined {
    const { netlink } = this.#tools;
    const { name, ipv4, ipv6 } = this.#place.external;
    const link = getLink(netlink, { name });
    if (link === undefined) return { text: `${name} has gone` };
    this.#index = link.index;
    if ((link.flags & IFF_UP) === 0) return { text: `${name} is down` };
    for (const place of [ipv4, ipv6]) {
      if (place === undefined) continue;
      const { ip } = place.local;
      // The address may be on any interface: routing protocols often announce a loopback address.
      const present = listAddresses(netlink, { family: ip.family }).find((address) => sameIp(address.ip, ip));
      const text = formatIp(ip);
      if (present === undefined) return { text: `${name} has lost the address ${text}` };
      if ((present.flags & IFA_F_DADFAILED) !== 0)
        return { text: `${text} of ${name} is also an address of another node` };
      if ((present.flags & IFA_F_DEPRECATED) !== 0) return { text: `${text} of ${name} is deprecated`, isNear: true };
    }
    return undefined;
  }

  #choose(addresses: NodeAddresses, problem: Problem | undefined): Place | undefined {
    try {
      return this.#choosePlace(addresses);
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      if (problem?.isNear === true) return undefined;
      const text = [problem?.text, errorText(error)].filter(Boolean).join('; ');
      this.#readiness.failed(UNDERLAY_CHECK, text);
      this.#failures.failed('place', text, {}, 'no external interface was found, will look again');
      return undefined;
    }
  }

  /** Keeps the present place, since there is no better one, and reports what is wrong with it. */
  #stay(problem: Problem | undefined): number | undefined {
    if (problem === undefined || problem.isNear === true) return this.#fine();
    this.#readiness.failed(UNDERLAY_CHECK, problem.text);
    return RETRY_MS;
  }

  #fine(): undefined {
    this.#wrongSinceMs = undefined;
    this.#readiness.fine(UNDERLAY_CHECK);
    this.#failures.recovered('place', {}, 'external interface is there again');
    this.#failures.recovered('look', {}, 'own addresses can be read again');
  }

  /** How long to wait before the move: not at all on the same interface or when the old one has gone, else SETTLE_MS. */
  #waitMs(external: ExternalInterface): number {
    const nowMs = this.#tools.clock.now();
    this.#wrongSinceMs ??= nowMs;
    const { name } = this.#place.external;
    if (external.name === name || getLink(this.#tools.netlink, { name }) === undefined) return 0;
    return Math.max(0, this.#wrongSinceMs + SETTLE_MS - nowMs);
  }

  #move(place: Place, why: string): void {
    const facts = { was: describe(this.#place.external), now: describe(place.external), why };
    this.#tools.log.info(facts, 'own address changed');
    this.#failures.recovered('place', {}, 'external interface is there again');
    this.#place = place;
    this.#index = place.external.index;
    this.#wrongSinceMs = undefined;
    const onMove = this.#onMove;
    this.#onMove = undefined;
    onMove?.(place);
  }
}

function describe({ name, ipv4, ipv6 }: ExternalInterface): string {
  const texts = [ipv4, ipv6].flatMap((place) => {
    if (place === undefined) return [];
    const [local, publicIp] = [formatIp(place.local.ip), formatIp(place.publicIp)];
    return [local === publicIp ? local : `${local} (advertised as ${publicIp})`];
  });
  return `${name} ${texts.join(' ')}`;
}

/** A link-local address is not better: the system assigns one whenever DHCP or a router is away for a moment. */
function isBetter(external: ExternalInterface, than: ExternalInterface): boolean {
  if (samePlace(external, than)) return false;
  const isLocal = (place: UnderlayAddress | undefined): boolean => place !== undefined && isLinkLocal(place.local.ip);
  return !(['ipv4', 'ipv6'] as const).some((key) => isLocal(external[key]) && !isLocal(than[key]));
}

function samePlace(a: ExternalInterface, b: ExternalInterface): boolean {
  return a.name === b.name && sameUnderlay(a.ipv4, b.ipv4) && sameUnderlay(a.ipv6, b.ipv6);
}

function sameUnderlay(a: UnderlayAddress | undefined, b: UnderlayAddress | undefined): boolean {
  return sameOrNone(a?.local.ip, b?.local.ip) && sameOrNone(a?.publicIp, b?.publicIp);
}

function sameAddresses(a: NodeAddresses, b: NodeAddresses): boolean {
  const keys = ['publicIp', 'publicIpv6', 'overwriteIp', 'overwriteIpv6'] as const;
  return keys.every((key) => sameOrNone(a[key], b[key]));
}

function sameOrNone(a: Ip | undefined, b: Ip | undefined): boolean {
  return a === undefined || b === undefined ? a === b : sameIp(a, b);
}
