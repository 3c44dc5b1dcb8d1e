// Keeps the blackhole and unreachable routes, which refuse packets to pod addresses that no node has
// (firewall/dead-ends.ts), and reports why a network gets none.

import { contains, containsPrefix, type Ip } from '../../lib/ip.ts';
import type { RtnetlinkEvent } from '../../lib/rtnetlink/event.ts';
import type { Route } from '../../lib/rtnetlink/route.ts';
import { RTN_UNICAST } from '../../lib/rtnetlink/rtnetlink-constants.ts';
import type { Overlay } from '../backend/overlay.ts';
import type { Options } from '../cli/options.ts';
import { WEFT_PROTOCOL } from '../dataplane/objects/kind.ts';
import { DeadEnds, wantedDeadEnds } from '../firewall/dead-ends.ts';
import type { DriftNotes } from '../health/drift-ledger.ts';
import type { Check } from '../health/http-server.ts';
import { createFailureLog, type FailureLog } from '../health/log.ts';
import { findInNetwork, inNetworkProblem, readNodeFacts } from '../underlay/node-in-network.ts';
import type { AgentTools } from './tools.ts';

export interface DeadEndParts {
  readonly overlays: readonly Overlay[];
  readonly options: Pick<Options, 'firewall' | 'store'>;
  readonly tools: Pick<AgentTools, 'netlink' | 'sys' | 'log' | 'env' | 'clock'>;
  readonly drift: DriftNotes;
}

/** A network that gets no unreachable route, and why. */
interface OpenNetwork {
  readonly overlay: Overlay;
  readonly problem: string;
}

/** How often the routes are read again when no event came. */
const AUDIT_MS = 60_000;

export class DeadEndKeeper {
  readonly #parts: DeadEndParts;
  readonly #deadEnds: DeadEnds;
  readonly #failures: FailureLog;
  #open: readonly OpenNetwork[] = [];
  /** Whether an address or a route has changed that may affect these routes. */
  #hasNews = true;
  #lookedAtMs = Number.NEGATIVE_INFINITY;

  constructor(parts: DeadEndParts) {
    const { overlays, tools, drift } = parts;
    this.#parts = parts;
    this.#deadEnds = new DeadEnds(
      overlays.map(({ network }) => network),
      { ...tools, drift },
    );
    this.#failures = createFailureLog(tools.log);
  }

  /** A network gets no unreachable route while the node itself has an address or a gateway in it, so both are watched. */
  hear(event: RtnetlinkEvent): void {
    if (event.kind === 'address') this.#hasNews ||= this.#liesInside(event.object.ip);
    if (event.kind === 'route') this.#hasNews ||= this.#concerns(event.object);
  }

  get hasNews(): boolean {
    return this.#hasNews;
  }

  #concerns({ destination, gateway, protocol, type }: Route): boolean {
    // The overlays keep the routes to peers; these change often and do not matter here.
    if (protocol === WEFT_PROTOCOL && type === RTN_UNICAST) return false;
    const { overlays } = this.#parts;
    if (overlays.some(({ network }) => containsPrefix(network, destination))) return true;
    return gateway !== undefined && this.#liesInside(gateway);
  }

  #liesInside(ip: Ip): boolean {
    return this.#parts.overlays.some(({ network }) => contains(network, ip));
  }

  /** Called in every run of the overlays; reads the routes after a change and once per AUDIT_MS. Throws NetlinkError. */
  ensure(): void {
    const nowMs = this.#parts.tools.clock.now();
    if (!this.#hasNews && nowMs - this.#lookedAtMs < AUDIT_MS) return;
    this.#hasNews = false;
    try {
      this.#look();
    } catch (error) {
      this.#hasNews = true;
      this.#failures.failed('look', error, {}, 'blackhole and unreachable routes are wrong, will retry');
      throw error;
    }
    this.#lookedAtMs = nowMs;
    this.#failures.recovered('look', {}, 'blackhole and unreachable routes are right again');
  }

  checks(): Check[] {
    return this.#open.map(({ overlay: { family }, problem }) => ({
      name: `unreachable route of IPv${family}`,
      problem,
      required: false,
    }));
  }

  #look(): void {
    const { overlays, options, tools } = this.#parts;
    const open = this.#findOpen();
    for (const { problem } of open) {
      if (!this.#open.some((known) => known.problem === problem))
        tools.log.warn({ err: problem }, 'unreachable route left out');
    }
    this.#open = open;
    const kinds = overlays.map(({ network, subnet, place }) => {
      return { network, subnet, hasTunnel: place?.tunnel !== undefined };
    });
    this.#deadEnds.ensure(
      wantedDeadEnds(
        kinds,
        options.firewall,
        open.map(({ overlay }) => overlay.network),
      ),
    );
  }

  #findOpen(): OpenNetwork[] {
    const { overlays, options, tools } = this.#parts;
    const withTunnel = overlays.filter(({ place }) => place?.tunnel !== undefined);
    if (!options.firewall.unreachableRoute || withTunnel.length === 0) return [];
    const apiUrl = options.store.kind === 'kube' ? options.store.kube.apiUrl : undefined;
    const facts = readNodeFacts(
      { ...tools, apiUrl },
      withTunnel.map(({ family, place }) => ({ family, deviceIndex: place?.tunnel?.index })),
    );
    return withTunnel.flatMap((overlay) => {
      const { network, subnet, place } = overlay;
      const inside = findInNetwork({ network, subnet, deviceIndex: place?.tunnel?.index }, facts);
      return inside.length === 0 ? [] : [{ overlay, problem: inNetworkProblem(network, inside) }];
    });
  }
}
