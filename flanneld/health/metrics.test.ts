import { describe, expect, test } from 'vitest';
import { statusReport } from '../../test/support/status-report.ts';
import { DriftLedger } from './drift-ledger.ts';
import type { Finding } from './finding.ts';
import { createMeters } from './meters.ts';
import { createMetricsPage } from './metrics.ts';
import { ProbeMeter } from './probe-meter.ts';
import type { ProbePeer } from './status/probes-status.ts';
import type { GuardStatus, StatusReport } from './status/report.ts';
import type { StoreTrouble } from './store-troubles.ts';

function makePage(over: Partial<StatusReport> = {}, troubles: readonly StoreTrouble[] = []) {
  const sources = {
    report: () => ({ ...statusReport, ...over }),
    drift: new DriftLedger(),
    meters: createMeters(),
    probes: new ProbeMeter(),
    storeTroubles: () => troubles,
  };
  const page = createMetricsPage(sources);
  const lines = async (): Promise<string[]> => (await page()).text.split('\n').filter((line) => !line.startsWith('#'));
  return { ...sources, page, lines };
}

describe('createMetricsPage', () => {
  test('answers in the text format of Prometheus', async () => {
    const { status, type } = await makePage().page();
    expect([status, type]).toEqual([200, 'text/plain; version=0.0.4; charset=utf-8']);
  });

  test('has readiness, peers, problems and MTU', async () => {
    expect(await makePage().lines()).toEqual(
      expect.arrayContaining([
        'flannel_build_info{version="1.2.3"} 1',
        'flannel_ready 1',
        'flannel_peers{family="4",state="wanted"} 3',
        'flannel_peers{family="4",state="programmed"} 2',
        'flannel_peers{family="4",state="failing"} 1',
        'flannel_lease_problems{family="4"} 1',
        'flannel_mtu_bytes{family="4"} 1450',
      ]),
    );
  });

  test('has for how long the store is silent, and the process’s memory and processor time', async () => {
    const since = new Date(Date.now() - 90_000);
    const silent = await makePage({}, [{ text: 'timeout', since }]).lines();
    const valueIn = (lines: readonly string[], name: string): number =>
      Number(lines.find((line) => line.startsWith(`${name} `))?.slice(name.length));
    expect(valueIn(silent, 'flannel_store_silent_seconds')).toBeGreaterThanOrEqual(90);
    const lines = await makePage().lines();
    expect(lines).toContain('flannel_store_silent_seconds 0');
    for (const name of ['process_cpu_seconds_total', 'process_resident_memory_bytes', 'process_open_fds']) {
      expect(valueIn(lines, name), name).toBeGreaterThan(0);
    }
    expect(valueIn(lines, 'process_start_time_seconds')).toBeLessThanOrEqual(Date.now() / 1000 + 1);
  });

  test('has sums of the guard’s counters, without addresses', async () => {
    const guard: GuardStatus = {
      mode: 'count',
      packets: { strangers: 7, pods: 2, refused: 1 },
      strangers: [{ address: '192.0.2.1', packets: 7, since: '' }],
      isFull: false,
      watchedSince: '',
    };
    const lines = await makePage({ firewall: { flavour: 'nftables', why: '', places: [], guard } }).lines();
    expect(lines).toEqual(
      expect.arrayContaining([
        'flannel_guard_info{mode="count"} 1',
        'flannel_guard_packets_total{from="strangers"} 7',
        'flannel_guard_packets_total{from="pods"} 2',
        'flannel_guard_packets_total{from="refused"} 1',
      ]),
    );
    expect(lines.join()).not.toContain('192.0.2.1');
  });

  test('has sums of the probes’ results, without names of peers', async () => {
    const states = { reachable: 4, degraded: 0, unreachable: 1, unknown: 0 };
    const probed: ProbePeer = { peer: 'node-9', family: 4, state: 'unreachable', loss: 1, finding: 'peer-unreachable' };
    const probes = { port: 8477, states, oldestSec: 7, peers: [probed] };
    const texts = { cause: 'c', evidence: 'e', fix: 'f' };
    const findings: Finding[] = [{ id: 'peer-unreachable', severity: 'error', node: 'n', peer: 'node-9', ...texts }];
    const { lines, probes: meter } = makePage({ probes, findings });
    meter.count('unreachable');
    meter.rtt.observe(0.0002);
    const page = await lines();
    expect(page).toEqual(
      expect.arrayContaining([
        'flannel_probed_peers{state="reachable"} 4',
        'flannel_probed_peers{state="unreachable"} 1',
        'flannel_probe_oldest_result_seconds 7',
        'flannel_findings{id="peer-unreachable",severity="error"} 1',
        'flannel_probe_total{result="unreachable"} 1',
        'flannel_probe_total{result="reachable"} 0',
        'flannel_probe_rtt_seconds_bucket{le="0.00025"} 1',
      ]),
    );
    expect(page.join()).not.toContain('node-9');
  });

  test('does not show a finding that has ended', async () => {
    const finding: Finding = { id: 'peer-slow', severity: 'warning', node: 'n', cause: 'c', evidence: 'e', fix: 'f' };
    let findings: Finding[] = [finding];
    const report = (): StatusReport => ({ ...statusReport, findings });
    const sources = {
      report,
      drift: new DriftLedger(),
      meters: createMeters(),
      probes: new ProbeMeter(),
      storeTroubles: () => [],
    };
    const page = createMetricsPage(sources);
    const has = async (): Promise<boolean> => (await page()).text.includes('flannel_findings{id="peer-slow"');
    expect(await has()).toBe(true);
    findings = [];
    expect(await has()).toBe(false);
  });

  test('counts repairs and failures since the start, however often it is asked', async () => {
    const { lines, drift, meters } = makePage();
    drift.note({ object: 'route', place: 'flannel.1', what: 'node-2', was: 'missing', cmd: '', count: 3 });
    meters.firewall.failures = 2;
    for (let scrape = 0; scrape < 2; scrape++) {
      expect(await lines()).toEqual(
        expect.arrayContaining([
          'flannel_drift_repaired_total{object="route"} 3',
          'flannel_drift_repaired_total{object="fdb"} 0',
          'flannel_reconcile_failures_total{loop="firewall"} 2',
        ]),
      );
    }
  });

  test('keeps the histogram of durations over scrapes', async () => {
    const { lines, meters } = makePage();
    const name = 'flannel_reconcile_duration_seconds';
    expect(await lines()).toContain(`${name}_count{loop="overlay"} 0`);
    for (const seconds of [0.0078125, 0.0078125, 0.03125]) meters.overlay.observe(seconds);
    await lines();
    meters.overlay.observe(9);
    expect(await lines()).toEqual(
      expect.arrayContaining([
        `${name}_bucket{le="0.01",loop="overlay"} 2`,
        `${name}_bucket{le="0.05",loop="overlay"} 3`,
        `${name}_bucket{le="+Inf",loop="overlay"} 4`,
        `${name}_sum{loop="overlay"} 9.046875`,
      ]),
    );
  });

  test('has no label that grows with the cluster', async () => {
    const { page, drift } = makePage();
    for (let node = 0; node < 300; node++) {
      drift.note({ object: 'fdb', place: 'flannel.1', what: `node-${node}`, was: 'missing', cmd: '' });
    }
    const { text } = await page();
    expect(text).not.toMatch(/node-|192\.168/);
    const names = text.match(/^[a-z_]+/gm) ?? [];
    expect(names).not.toEqual([]);
    for (const name of names) expect(name).toMatch(/^(flannel|process)_/);
  });
});
