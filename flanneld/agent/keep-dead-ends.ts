// Keeps the routes in which packets for pods that nobody has end (firewall/dead-ends.ts), and says why one is left out.

import { kernelChanged, type Overlay } from '../backend/overlay.ts';
import type { Options } from '../cli/options.ts';
import { DeadEnds, wantedDeadEnds } from '../firewall/dead-ends.ts';
import type { DriftNotes } from '../health/drift-ledger.ts';
import type { Check } from '../health/http-server.ts';
import { createFailureLog, type FailureLog } from '../health/log.ts';
import { findInNetwork, inNetworkProblem, readNodeFacts } from '../underlay/node-in-network.ts';
import type { AgentTools } from './tools.ts';

export interface DeadEndParts {
  readonly overlays: readonly Overlay[];
  readonly options: Pick<Options, 'firewall' | 'store'>;
  readonly tools: Pick<AgentTools, 'netlink' | 'sys' | 'log' | 'env'>;
  readonly drift: DriftNotes;
}

/** A network that gets no unreachable route, and why. */
interface OpenNetwork {
  readonly overlay: Overlay;
  readonly problem: string;
}

export class DeadEndKeeper {
  readonly #parts: DeadEndParts;
  readonly #deadEnds: DeadEnds;
  readonly #failures: FailureLog;
  #open: readonly OpenNetwork[] = [];
  #isFirst = true;

  constructor(parts: DeadEndParts) {
    const { overlays, tools, drift } = parts;
    this.#parts = parts;
    this.#deadEnds = new DeadEnds(
      overlays.map(({ network }) => network),
      { ...tools, drift },
    );
    this.#failures = createFailureLog(tools.log);
  }

  /** Within a run of the overlays: looks when the kernel has changed, and when it is only time to. Throws NetlinkError. */
  ensure(woken: ReadonlySet<string>): void {
    if (!this.#isFirst && woken.size > 0 && !kernelChanged(woken)) return;
    try {
      this.#look();
    } catch (error) {
      this.#failures.failed('look', error, {}, 'blackhole and unreachable routes not right, will retry');
      throw error;
    }
    this.#isFirst = false;
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
    const kinds = overlays.map(({ network, subnet, deviceIndex }) => {
      return { network, subnet, hasTunnel: deviceIndex !== undefined };
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
    const withTunnel = overlays.filter(({ deviceIndex }) => deviceIndex !== undefined);
    if (!options.firewall.unreachableRoute || withTunnel.length === 0) return [];
    const apiUrl = options.store.kind === 'kube' ? options.store.kube.apiUrl : undefined;
    const facts = readNodeFacts(
      { ...tools, apiUrl },
      withTunnel.map(({ family }) => family),
    );
    return withTunnel.flatMap((overlay) => {
      const inside = findInNetwork(overlay, facts);
      return inside.length === 0 ? [] : [{ overlay, problem: inNetworkProblem(overlay.network, inside) }];
    });
  }
}
