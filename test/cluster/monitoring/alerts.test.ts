// Tests every alert of manifests/monitoring with promtool: it fires on series of a broken cluster once its time is over and not before, and
// never on series that are just within the limit. monitoring.test.ts shows that agents have these metrics.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { parse, stringify } from 'yaml';
import { repositoryRoot } from '../../lab/programs.ts';
import { runProgram } from '../manifests/find-program.ts';

const { spec } = parse(readFileSync(join(repositoryRoot, 'manifests/monitoring/alerts.yml'), 'utf8')) as {
  spec: { groups: readonly { readonly rules: readonly { readonly alert: string }[] }[] };
};

/** A series in promtool's syntax, by its name: one value a minute, `0+2x60` for one that grows by 2. */
type Series = Readonly<Record<string, string>>;

interface AlertCase {
  readonly alert: string;
  readonly broken: Series;
  /** Just within the limit. */
  readonly whole: Series;
  /** Two times in minutes: at the first it does not fire yet, at the second it does. */
  readonly notYet: number;
  readonly fires: number;
  /** The instance that the alert names; none for an alert about the whole cluster. */
  readonly instance?: string;
}

const ready = Object.fromEntries(Array.from({ length: 10 }, (_, n) => [`flannel_ready{instance="n${n}"}`, '1x60']));
const finding = (instance: string, severity = 'error'): string =>
  `flannel_findings{instance="${instance}",id="tunnel-port-blocked",severity="${severity}"}`;
const probed = (state: string): string => `flannel_probed_peers{instance="a",state="${state}"}`;
const peers = (state: string): string => `flannel_peers{instance="a",family="4",state="${state}"}`;

const CASES: readonly AlertCase[] = [
  {
    alert: 'WeftFinding',
    broken: { [finding('a')]: '1x60' },
    whole: { [finding('a', 'warning')]: '1x60' },
    ...{ notYet: 4, fires: 6, instance: 'a' },
  },
  {
    alert: 'WeftFindingsOnManyNodes',
    broken: { ...ready, [finding('n0')]: '1x60', [finding('n1')]: '1x60' },
    whole: { ...ready, [finding('n0')]: '1x60' },
    ...{ notYet: 4, fires: 6 },
  },
  {
    alert: 'WeftNodeNotReady',
    broken: { 'flannel_ready{instance="a"}': '0x60' },
    whole: { 'flannel_ready{instance="a"}': '0x3 1x60' },
    ...{ notYet: 4, fires: 6, instance: 'a' },
  },
  {
    alert: 'WeftPeersUnreachable',
    broken: { [probed('unreachable')]: '4x60' },
    whole: { [probed('unreachable')]: '3x60', [probed('reachable')]: '90x60' },
    ...{ notYet: 4, fires: 6, instance: 'a' },
  },
  {
    alert: 'WeftPeersDegraded',
    broken: { [probed('degraded')]: '1x60' },
    whole: { [probed('degraded')]: '0x60', [probed('reachable')]: '9x60' },
    ...{ notYet: 9, fires: 11, instance: 'a' },
  },
  {
    alert: 'WeftPeersNotProgrammed',
    broken: { [peers('programmed')]: '9x60', [peers('wanted')]: '10x60' },
    whole: { [peers('programmed')]: '10x60', [peers('wanted')]: '10x60' },
    ...{ notYet: 9, fires: 11, instance: 'a' },
  },
  {
    alert: 'WeftRepairsWithoutEnd',
    broken: { 'flannel_drift_repaired_total{instance="a",object="route"}': '0+2x60' },
    whole: { 'flannel_drift_repaired_total{instance="a",object="route"}': '0+0.5x60' },
    ...{ notYet: 10, fires: 25, instance: 'a' },
  },
  {
    alert: 'WeftStoreSilent',
    broken: { 'flannel_store_silent_seconds{instance="a"}': '0+60x60' },
    whole: { 'flannel_store_silent_seconds{instance="a"}': '300x60' },
    ...{ notYet: 10, fires: 12, instance: 'a' },
  },
  {
    alert: 'WeftReconcileFailing',
    broken: { 'flannel_reconcile_failures_total{instance="a",loop="peers"}': '0+1x60' },
    whole: { 'flannel_reconcile_failures_total{instance="a",loop="peers"}': '0+0.2x60' },
    ...{ notYet: 10, fires: 25, instance: 'a' },
  },
  {
    alert: 'WeftProbesOld',
    broken: { 'flannel_probe_oldest_result_seconds{instance="a"}': '901x60' },
    whole: { 'flannel_probe_oldest_result_seconds{instance="a"}': '900x60' },
    ...{ notYet: 4, fires: 6, instance: 'a' },
  },
  {
    alert: 'WeftAgentSilent',
    broken: { 'up{instance="a",job="weft/weft"}': '0x60' },
    whole: { 'up{instance="a",job="weft/weft"}': '1x60', 'up{instance="b",job="another"}': '0x60' },
    ...{ notYet: 4, fires: 6, instance: 'a' },
  },
  {
    alert: 'WeftAgentRestarts',
    broken: { 'process_start_time_seconds{instance="a",job="weft/weft"}': '10 20 30 40 50x60' },
    whole: { 'process_start_time_seconds{instance="a",job="weft/weft"}': '10 20 30 40x60' },
    ...{ notYet: 3, fires: 5, instance: 'a' },
  },
  {
    alert: 'WeftStrangers',
    broken: { 'flannel_guard_packets_total{instance="a",from="strangers"}': '0+120x60' },
    whole: { 'flannel_guard_packets_total{instance="a",from="strangers"}': '0+30x60' },
    ...{ notYet: 8, fires: 25, instance: 'a' },
  },
];

test('each alert that is shipped has a case here', () => {
  const shipped = spec.groups.flatMap(({ rules }) => rules.map(({ alert }) => alert));
  expect(CASES.map(({ alert }) => alert)).toEqual(shipped);
});

test.for(CASES)('$alert fires after its time, and not within the limit', ({ alert, broken, whole, ...when }) => {
  const { notYet, fires, instance } = when;
  const labels = `{alertname="${alert}"${instance === undefined ? '' : `, instance="${instance}"`}}`;
  const expectation = (minutes: number, isFiring: boolean) => ({
    expr: `count by (alertname, instance) (ALERTS{alertname="${alert}", alertstate="firing"})`,
    eval_time: `${minutes}m`,
    exp_samples: isFiring ? [{ labels, value: 1 }] : [],
  });
  promtoolAgrees([
    testOf(broken, [expectation(notYet, false), expectation(fires, true)]),
    testOf(whole, [expectation(fires, false), expectation(55, false)]),
  ]);
  // promtool itself notices this: with the values reversed the rule test fails.
  expect(() => promtoolAgrees([testOf(whole, [expectation(fires, true)])])).toThrow('FAILED');
});

function testOf(series: Series, expressions: readonly object[]) {
  const input = Object.entries(series).map(([name, values]) => ({ series: name, values }));
  return { interval: '1m', input_series: input, promql_expr_test: expressions };
}

/** Throws what promtool prints when an expectation fails. */
function promtoolAgrees(tests: readonly object[]): void {
  const work = mkdtempSync(join(tmpdir(), 'weft-promtool-'));
  try {
    writeFileSync(join(work, 'rules.yml'), stringify(spec));
    writeFileSync(join(work, 'test.yml'), stringify({ rule_files: ['rules.yml'], evaluation_interval: '1m', tests }));
    runProgram('promtool', ['test', 'rules', join(work, 'test.yml')]);
  } finally {
    rmSync(work, { recursive: true });
  }
}
