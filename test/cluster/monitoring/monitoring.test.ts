// The files of manifests/monitoring on a real Prometheus that scrapes the agents of a lab: every query of the dashboard finds something, no
// alert fires in a healthy lab, and a broken one raises the right ones. promtool then checks with the scraped series that each alert fires
// after its time.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { parse, stringify } from 'yaml';
import { type Lab, startLab } from '../../lab/lab.ts';
import type { LabNode } from '../../lab/lab-node.ts';
import { waitUntil } from '../../lab/processes.ts';
import { repositoryRoot } from '../../lab/programs.ts';
import { runProgram } from '../manifests/find-program.ts';
import { METRICS_PORT, Prometheus, type Series } from './prometheus.ts';

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly for: string;
  readonly labels: { readonly severity: string };
  readonly annotations: Readonly<Record<string, string>>;
}

const folder = join(repositoryRoot, 'manifests/monitoring');
const { spec } = parse(readFileSync(join(folder, 'alerts.yml'), 'utf8')) as {
  spec: { groups: readonly { readonly name: string; readonly rules: readonly Rule[] }[] };
};
const rules = spec.groups.flatMap((group) => group.rules);
const dashboard = JSON.parse(readFileSync(join(folder, 'dashboard.json'), 'utf8')) as {
  panels: readonly { readonly title: string; readonly targets: readonly { readonly expr: string }[] }[];
};
const queries = dashboard.panels.flatMap(({ title, targets }) => targets.map(({ expr }) => ({ title, expr })));
/** The scraped series; Prometheus stores its alerts as series, too. */
const SCRAPED = '{job="weft", __name__!~"ALERTS.*"}';
const WAIT_MS = 60_000;

let lab: Lab;
let [watcher, broken]: LabNode[] = [];
let prometheus: Prometheus;

beforeAll(async () => {
  lab = await startLab({ nodes: 6, agent: { args: ['--metrics-port=8082'] } });
  [watcher, broken] = lab.nodes;
  for (const node of lab.nodes.slice(0, 2)) await node.addPod();
  if (watcher === undefined) throw new Error('no node');
  prometheus = await Prometheus.start(
    watcher,
    lab.nodes.map(({ address }) => address),
    stringify(spec),
  );
}, 120_000);
afterAll(async () => {
  await prometheus?.stop();
  await lab?.down();
});

/** As Grafana fills in its variables. */
function filled(expr: string): string {
  return expr.replaceAll('$__rate_interval', '1m').replaceAll('$instance', '.*');
}

function namesIn(expressions: readonly string[]): string[] {
  const names = expressions.flatMap((expr) => expr.match(/\b(flannel|process)_[a-z_]+/g) ?? []);
  return [...new Set(names.map((name) => name.replace(/_bucket$/, '')))];
}

async function becomes(alert: string, isThere: boolean): Promise<void> {
  await waitUntil(async () => (await prometheus.alerts()).has(alert) === isThere, WAIT_MS, `${alert} ${isThere}`);
}

test('the port for other nodes has the metrics and nothing else', async () => {
  const program = `Promise.all(["/metrics", "/readyz", "/status", "/leases"].map(async (path) => (await fetch("http://${broken?.address}:${METRICS_PORT}" + path)).status)).then((all) => process.stdout.write(all.join()))`;
  expect(await watcher?.run([process.execPath, '-e', program])).toBe('200,404,404,404');
  const text = `fetch("http://${broken?.address}:${METRICS_PORT}/metrics").then((r) => r.text()).then((t) => process.stdout.write(t))`;
  const metrics = await watcher?.run([process.execPath, '-e', text]);
  expect(metrics).toContain('flannel_ready 1');
  expect(metrics).not.toMatch(/10\.244\.|192\.168\.|node-[0-9]/);
});

describe('the dashboard', () => {
  test.for(queries)('$title: $expr', async ({ expr }) => {
    // A histogram has a quantile only if something was observed between two scrapes.
    const isRare = expr.includes('histogram_quantile') || expr.includes('> 0');
    if (!isRare) await waitUntil(async () => (await prometheus.query(filled(expr))).length > 0, WAIT_MS, expr);
    else await prometheus.query(filled(expr));
  });

  test('asks for no metric that the agent does not have', async () => {
    const known = await prometheus.metricNames();
    expect(namesIn(queries.map(({ expr }) => expr)).filter((name) => !known.has(name))).toEqual([]);
  });
});

describe('the alerts', () => {
  test('each have a line that ends it, and ask for metrics that the agent has', async () => {
    for (const { alert, annotations } of rules) expect(annotations['runbook']?.length, alert).toBeGreaterThan(30);
    const known = await prometheus.metricNames();
    expect(namesIn(rules.map(({ expr }) => expr)).filter((name) => !known.has(name))).toEqual([]);
  });

  test('are silent in a healthy lab', async () => {
    await waitUntil(async () => (await prometheus.alerts()).size === 0, WAIT_MS, 'no alert');
    expect(fired(await prometheus.query(SCRAPED))).toEqual([]);
  });

  test('say that nobody is reached by a node whose tunnel is blocked, and that it has findings, until it ends', async () => {
    const drop =
      'table inet block { chain in { type filter hook prerouting priority -400; iifname "eth0" udp dport { 8472, 8477 } drop; }; }';
    await broken?.run(['nft', drop]);
    const end = async (): Promise<void> => void (await broken?.exec(['nft', 'delete', 'table', 'inet', 'block']));
    onTestFinished(end);
    for (const alert of ['WeftFinding', 'WeftPeersUnreachable', 'WeftFindingsOnManyNodes']) await becomes(alert, true);
    const names = fired(await prometheus.query(SCRAPED));
    expect(names).toEqual(expect.arrayContaining(['WeftFinding', 'WeftFindingsOnManyNodes', 'WeftPeersUnreachable']));
    expect(names).not.toContain('WeftAgentSilent');
    const [finding] = await prometheus.query('flannel_findings{severity="error"}');
    expect(finding?.metric['id']).toMatch(/^(tunnel|peer)-/);
    // Rare queries of the dashboard find something now.
    for (const { expr } of queries.filter((each) => each.expr.includes('> 0'))) {
      expect(await prometheus.query(filled(expr)), expr).not.toEqual([]);
    }
    await end();
    for (const alert of ['WeftFinding', 'WeftPeersUnreachable']) await becomes(alert, false);
  }, 180_000);

  test('say that an agent is silent, and that a node is not ready', async () => {
    await broken?.agent.kill();
    await becomes('WeftAgentSilent', true);
    expect(fired(await prometheus.query(SCRAPED))).toContain('WeftAgentSilent');
    await watcher?.run(['sysctl', '-qw', 'net.ipv4.ip_forward=0']);
    onTestFinished(async () => void (await watcher?.run(['sysctl', '-qw', 'net.ipv4.ip_forward=1'])));
    await becomes('WeftNodeNotReady', true);
    expect(fired(await prometheus.query(SCRAPED))).toContain('WeftNodeNotReady');
    await watcher?.run(['sysctl', '-qw', 'net.ipv4.ip_forward=1']);
    await broken?.agent.start();
    for (const alert of ['WeftAgentSilent', 'WeftNodeNotReady']) await becomes(alert, false);
  }, 180_000);
});

/** Asks promtool which alerts fire when these series stay as they are for twenty minutes. */
function fired(series: readonly Series[]): string[] {
  const work = mkdtempSync(join(tmpdir(), 'weft-promtool-'));
  try {
    writeFileSync(join(work, 'rules.yml'), stringify(spec));
    const input = series.map(({ metric: { __name__: name = '', ...labels }, value }) => ({
      series: `${name}{${Object.entries(labels)
        .map(([key, text]) => `${key}=${JSON.stringify(text)}`)
        .join(',')}}`,
      values: `${value[1]}x20`,
    }));
    const isFiring = (alert: string): boolean => {
      const check = { eval_time: '20m', alertname: alert, exp_alerts: [] };
      const tests = {
        rule_files: ['rules.yml'],
        evaluation_interval: '1m',
        tests: [{ interval: '1m', input_series: input, alert_rule_test: [check] }],
      };
      writeFileSync(join(work, 'test.yml'), stringify(tests));
      try {
        runProgram('promtool', ['test', 'rules', join(work, 'test.yml')]);
        return false;
      } catch (error) {
        // It fails because an alert fired that was not expected; anything else is a mistake in the test itself.
        if (!String(error).includes('got:')) throw error;
        return true;
      }
    };
    return rules.map(({ alert }) => alert).filter(isFiring);
  } finally {
    rmSync(work, { recursive: true });
  }
}
