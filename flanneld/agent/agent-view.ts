// Everything that the agent reports about itself, and the HTTP pages that show it: the health port serves probes and metrics, the socket
// beside subnet.env serves these and the whole report.

import { printableJson } from '../../lib/printable.ts';
import { version } from '../../lib/version.ts';
import type { Overlay } from '../backend/overlay.ts';
import type { FastPath } from '../fastpath/fast-path.ts';
import type { Firewall } from '../firewall/firewall.ts';
import { agentFindings } from '../health/agent-findings.ts';
import { DRIFT_OBJECTS, DriftLedger } from '../health/drift-ledger.ts';
import type { Finding } from '../health/finding.ts';
import { type Answer, healthPages, isReady, type Pages } from '../health/http-server.ts';
import { createMeters, type Meters } from '../health/meters.ts';
import { ProbeMeter } from '../health/probe-meter.ts';
import { Readiness } from '../health/readiness.ts';
import type { StatusReport } from '../health/status/report.ts';
import type { StoreTrouble } from '../health/store-troubles.ts';
import type { Prober } from '../probes/prober.ts';
import type { LeaseSnapshot } from '../subnet/manager.ts';
import { renderSavedState } from '../subnet/saved-state.ts';

export class AgentView {
  readonly readiness = new Readiness();
  readonly drift = new DriftLedger();
  readonly meters: Meters = createMeters();
  readonly probeMeter = new ProbeMeter();
  /** What the start is waiting for now; shown by /readyz?verbose. */
  step = 'a search for what dead pods of this node hold';
  readonly #node: string;
  readonly #startedAt = new Date().toISOString();
  #backend = '';
  #overlays: readonly Overlay[] = [];
  #firewall: Firewall | undefined;
  #leases: (() => LeaseSnapshot) | undefined;
  #prober: Prober | undefined;
  #fastPath: FastPath | undefined;
  #storeTroubles: () => readonly StoreTrouble[] = () => [];
  #metrics: Promise<() => Promise<Answer>> | undefined;

  constructor(node: string) {
    this.#node = node;
  }

  /** Call once the lease is taken; the report then names the backend and its overlays. */
  show(backend: string, overlays: readonly Overlay[]): void {
    this.#backend = backend;
    this.#overlays = overlays;
  }

  /** Call once the leases are watched; the doctor then reads them from here. */
  showLeases(latest: () => LeaseSnapshot): void {
    this.#leases = latest;
  }

  /** Call once the firewall is open; the report then says where its rules are. */
  showFirewall(firewall: Firewall): void {
    this.#firewall = firewall;
  }

  /** Call whenever the loop of probes has started or ended. */
  showProbes(prober: Prober | undefined): void {
    this.#prober = prober;
  }

  /** Call whenever the fast path has started or ended. */
  showFastPath(fastPath: FastPath | undefined): void {
    this.#fastPath = fastPath;
  }

  /** Sets the function that returns the store's troubles; it is called at every scrape. */
  showStore(troubles: () => readonly StoreTrouble[]): void {
    this.#storeTroubles = troubles;
  }

  /** The problems that the agent itself knows about. */
  findings(): readonly Finding[] {
    const [node, checks, drift] = [this.#node, this.readiness.checks(), this.drift.entries()];
    const own = agentFindings({ node, checks, drift, fastPath: this.#fastPath?.status(), nowMs: Date.now() });
    return [...(this.#prober?.findings() ?? []), ...own];
  }

  report(): StatusReport {
    const checks = this.readiness.checks();
    const totals = DRIFT_OBJECTS.map((object) => [object, this.drift.total(object)] as const);
    return {
      version,
      node: this.#node,
      pid: process.pid,
      startedAt: this.#startedAt,
      backend: this.#backend,
      ready: isReady(checks),
      checks,
      overlays: this.#overlays.map((overlay) => overlay.status()),
      ...(this.#firewall && { firewall: this.#firewall.status() }),
      ...(this.#fastPath && { fastPath: this.#fastPath.status() }),
      findings: this.findings(),
      ...(this.#prober && { probes: this.#prober.status() }),
      drift: { totals: Object.fromEntries(totals.filter(([, total]) => total > 0)), entries: this.drift.entries() },
    };
  }

  publicPages(): Pages {
    return new Map([...healthPages(() => this.readiness.checks()), ['/metrics', () => this.#metricsPage()] as const]);
  }

  /** The pages of the listener that other nodes may reach: sums without addresses and names, and nothing else. */
  metricsPages(): Pages {
    return new Map([['/metrics', () => this.#metricsPage()]]);
  }

  socketPages(): Pages {
    const status = (): Answer => ({
      status: 200,
      type: 'application/json',
      text: `${printableJson(JSON.stringify(this.report()))}\n`,
    });
    const leases = (): Answer => ({ status: 200, type: 'application/json', text: this.#leasesText() });
    return new Map([...this.publicPages(), ['/status', status] as const, ['/leases', leases] as const]);
  }

  #leasesText(): string {
    return renderSavedState({ store: '', netConf: undefined, own: undefined, snapshot: this.#leases?.() });
  }

  async #metricsPage(): Promise<Answer> {
    this.#metrics ??= import('../health/metrics.ts').then(({ createMetricsPage }) =>
      createMetricsPage({
        report: () => this.report(),
        drift: this.drift,
        meters: this.meters,
        probes: this.probeMeter,
        storeTroubles: () => this.#storeTroubles(),
      }),
    );
    return await (await this.#metrics)();
  }
}
