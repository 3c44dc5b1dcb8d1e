// The agent's metrics for Prometheus, made with prom-client. This module is loaded at the first scrape, so that an agent that nobody
// scrapes does not pay for it. No label has addresses or names of peers (except the busiest peers of the fast path), because the number of
// time series must not grow with the cluster.

import Counter from 'prom-client/lib/counter.js';
import Gauge from 'prom-client/lib/gauge.js';
import Histogram from 'prom-client/lib/histogram.js';
import Registry from 'prom-client/lib/registry.js';
import { breathe } from '../../lib/clock-node.ts';
import { DRIFT_OBJECTS, type DriftLedger } from './drift-ledger.ts';
import type { Answer } from './http-server.ts';
import { DURATION_BUCKETS, type Meters } from './meters.ts';
import { type ProbeMeter, RTT_BUCKETS } from './probe-meter.ts';
import { processMetrics } from './process-metrics.ts';
import { PEER_STATES } from './status/probes-status.ts';
import type { FastPathStatus, GuardStatus, StatusReport } from './status/report.ts';
import type { StoreTrouble } from './store-troubles.ts';

export interface MetricSources {
  readonly report: () => StatusReport;
  readonly drift: DriftLedger;
  readonly meters: Meters;
  readonly probes: ProbeMeter;
  readonly storeTroubles: () => readonly StoreTrouble[];
}

const LOOPS = ['overlay', 'firewall'] as const;
/** After this many observations other work gets its turn. */
const STEP = 1000;

/** Returns the function that makes the page; each call reads the sources again. */
export function createMetricsPage(sources: MetricSources): () => Promise<Answer> {
  const registry = new Registry();
  const registers = [registry];
  const gauge = <L extends string>(name: string, help: string, labelNames: readonly L[]) =>
    new Gauge({ name, help, labelNames, registers });
  const info = gauge('flannel_build_info', 'Always 1; the version is in the label.', ['version']);
  const ready = gauge('flannel_ready', '1 when the node forwards, otherwise 0.', []);
  const peers = gauge('flannel_peers', 'Peers by family and state.', ['family', 'state']);
  const direct = gauge('flannel_direct_peers', 'Programmed peers that are reached without a tunnel.', ['family']);
  const problems = gauge('flannel_lease_problems', 'Unusable leases, and peers that fail or are doubtful.', ['family']);
  const mtu = gauge('flannel_mtu_bytes', 'MTU of pods, which is that of the tunnel device where there is one.', [
    'family',
  ]);
  const firewall = gauge('flannel_firewall_info', 'Always 1; the label names what holds the rules.', ['flavour']);
  const [setGuard, setFastPath] = [guardMetrics(registers), fastPathMetrics(registers)];
  const probes = probeMetrics(registers, sources.probes);
  const setters = [storeMetrics(registers, sources.storeTroubles), processMetrics(registers)];
  const drift = new Counter({
    name: 'flannel_drift_repaired_total',
    help: 'Objects that another program had changed and that the agent repaired.',
    labelNames: ['object'],
    registers,
  });
  const failures = new Counter({
    name: 'flannel_reconcile_failures_total',
    help: 'Runs of each loop that failed.',
    labelNames: ['loop'],
    registers,
  });
  const durations = new Histogram({
    name: 'flannel_reconcile_duration_seconds',
    help: 'Duration of a run: read, compare, change.',
    labelNames: ['loop'],
    buckets: [...DURATION_BUCKETS],
    registers,
  });
  // Without this the histogram would be missing until the first run ends.
  for (const loop of LOOPS) durations.zero({ loop });
  const setGauges = (report: StatusReport): void => {
    info.set({ version: report.version }, 1);
    ready.set(report.ready ? 1 : 0);
    if (report.firewall !== undefined) firewall.set({ flavour: report.firewall.flavour }, 1);
    setGuard(report.firewall?.guard);
    setFastPath(report.fastPath);
    probes.setGauges(report);
    for (const set of setters) set();
    for (const { family, mtu: bytes, peers: counts, problems: found } of report.overlays) {
      for (const state of ['wanted', 'programmed', 'failing'] as const) peers.set({ family, state }, counts[state]);
      if (counts.direct !== undefined) direct.set({ family }, counts.direct);
      problems.set({ family }, found.length);
      mtu.set({ family }, bytes);
    }
  };
  const setCounters = async (): Promise<void> => {
    drift.reset();
    for (const object of DRIFT_OBJECTS) drift.inc({ object }, sources.drift.total(object));
    failures.reset();
    for (const loop of LOOPS) failures.inc({ loop }, sources.meters[loop].failures);
    // Another scrape may begin only from here on; by now the counters that were reset are complete again.
    for (const loop of LOOPS) {
      await handOver(sources.meters[loop].take(), (seconds) => durations.observe({ loop }, seconds));
    }
    await probes.setCounters();
  };
  return async () => {
    setGauges(sources.report());
    await setCounters();
    return { status: 200, type: registry.contentType, text: await registry.metrics() };
  };
}

/** Only sums: with addresses as labels, a sender of forged addresses could fill the memory. */
function guardMetrics(registers: Registry[]): (status: GuardStatus | undefined) => void {
  const mode = new Gauge({
    name: 'flannel_guard_info',
    help: 'Always 1; the label says what is done with packets of senders that are no peers.',
    labelNames: ['mode'],
    registers,
  });
  const packets = new Counter({
    name: 'flannel_guard_packets_total',
    help: 'Packets to the tunnel’s port from senders that are no peers (strangers, pods), and refused packets that would change routes or neighbours (refused).',
    labelNames: ['from'],
    registers,
  });
  return (status) => {
    mode.reset();
    packets.reset();
    if (status === undefined) return;
    mode.set({ mode: status.mode }, 1);
    for (const from of ['strangers', 'pods', 'refused'] as const) packets.inc({ from }, status.packets[from]);
  };
}

/** More labels would make a cluster of thousands of nodes costly to watch. */
const LABELLED_PEERS = 50;

function fastPathPeerMetrics(registers: Registry[]): (byPeer: FastPathStatus['byPeer']) => void {
  const peers = new Counter({
    name: 'flannel_fast_path_peer_packets_total',
    help: 'Packets of the 50 busiest peers, and of all others together: redirected (way fast), or that went another way (slow), by reason.',
    labelNames: ['peer', 'way', 'reason'],
    registers,
  });
  return (byPeer) => {
    peers.reset();
    for (const [index, { subnet, sent, received, slow }] of byPeer.entries()) {
      const peer = index < LABELLED_PEERS ? subnet : 'others';
      for (const [reason, count] of Object.entries({ sent, received })) peers.inc({ peer, way: 'fast', reason }, count);
      for (const [reason, count] of Object.entries(slow)) peers.inc({ peer, way: 'slow', reason }, count);
    }
  };
}

/** Absent where the fast path is not turned on. */
function fastPathMetrics(registers: Registry[]): (status: FastPathStatus | undefined) => void {
  const on = new Gauge({
    name: 'flannel_fast_path_on',
    help: '1 while packets of pods are redirected, otherwise 0; absent where the fast path is not configured.',
    labelNames: ['mode'],
    registers,
  });
  const packets = new Counter({
    name: 'flannel_fast_path_packets_total',
    help: 'Packets that the programs of the fast path redirected (way fast) or left to the kernel (slow), by reason.',
    labelNames: ['way', 'reason'],
    registers,
  });
  const setPeers = fastPathPeerMetrics(registers);
  return (status) => {
    on.reset();
    packets.reset();
    setPeers(status?.byPeer ?? []);
    if (status === undefined) return;
    on.set({ mode: status.mode }, status.on ? 1 : 0);
    for (const way of ['fast', 'slow'] as const) {
      for (const [reason, count] of Object.entries(status[way])) packets.inc({ way, reason }, count);
    }
  };
}

/** How long the agent has been working with the store's last answer. */
function storeMetrics(registers: Registry[], troubles: MetricSources['storeTroubles']): () => void {
  const silent = new Gauge({
    name: 'flannel_store_silent_seconds',
    help: 'For how many seconds the API server or etcd has not answered as it should; 0 when it does.',
    registers,
  });
  return () => {
    const [oldest] = troubles();
    silent.set(oldest === undefined ? 0 : Math.max(0, (Date.now() - oldest.since.getTime()) / 1000));
  };
}

/** Sums over all peers; `flanneld status` names the peers. */
function probeMetrics(registers: Registry[], meter: ProbeMeter) {
  const states = new Gauge({
    name: 'flannel_probed_peers',
    help: 'Peers by the result of their last probe; each address family counts by itself.',
    labelNames: ['state'],
    registers,
  });
  const oldest = new Gauge({
    name: 'flannel_probe_oldest_result_seconds',
    help: 'Age of the oldest result of a probe.',
    registers,
  });
  const findings = new Gauge({
    name: 'flannel_findings',
    help: 'Problems that the agent sees now, by finding.',
    labelNames: ['id', 'severity'],
    registers,
  });
  const results = new Counter({
    name: 'flannel_probe_total',
    help: 'Probes of peers by the state that they found.',
    labelNames: ['result'],
    registers,
  });
  const rtt = new Histogram({
    name: 'flannel_probe_rtt_seconds',
    help: 'Duration of probes’ round trips through the tunnel.',
    buckets: [...RTT_BUCKETS],
    registers,
  });
  return {
    setGauges({ probes, findings: found }: StatusReport): void {
      states.reset();
      findings.reset();
      oldest.reset();
      for (const { id, severity } of found) findings.inc({ id, severity });
      if (probes === undefined) return;
      for (const state of PEER_STATES) states.set({ state }, probes.states[state]);
      if (probes.oldestSec !== undefined) oldest.set(probes.oldestSec);
    },
    async setCounters(): Promise<void> {
      results.reset();
      for (const state of PEER_STATES) results.inc({ result: state }, meter.results[state]);
      await handOver(meter.rtt.take(), (seconds) => rtt.observe(seconds));
    },
  };
}

async function handOver(
  rows: readonly { readonly count: number; readonly seconds: number }[],
  observe: (seconds: number) => void,
): Promise<void> {
  let handed = 0;
  for (const { count, seconds } of rows) {
    for (let left = count; left > 0; left--) {
      observe(seconds);
      if (++handed % STEP === 0) await breathe();
    }
  }
}
