// Tests of checks whose facts no lab can make: tables of the whole machine, the kubelet's environment, legacy iptables. test/doctor tests
// the others.

import { describe, expect, test } from 'vitest';
import { parseIp } from '../../../lib/ip.ts';
import { healthyView } from '../../../test/support/doctor-view.ts';
import type { StatusReport } from '../../health/status/report.ts';
import { CATALOG } from '../catalog.ts';
import type { TableFacts } from '../view/table-facts.ts';
import type { View } from '../view/view.ts';
import { CHECKS } from './all.ts';

/** `id severity` of every finding, except those about the fixture's missing agent and files. */
function found(view: View): string[] {
  const drafts = CHECKS.flatMap((check) => check(view)).filter(
    ({ id }) => id !== 'agent-not-running' && id !== 'subnet-env-missing' && id !== 'device-missing',
  );
  return drafts.map(({ id, severity = CATALOG[id].severity }) => `${id} ${severity}`);
}

function withTables(more: Partial<TableFacts>): View {
  return healthyView({ tables: { ...healthyView().tables, ...more } });
}

const iptablesChain = { family: 'ip', table: 'filter', name: 'FORWARD' };

test.for<{ name: string; view: View; want: readonly string[] }>([
  { name: 'nothing of a healthy node', view: healthyView(), want: [] },
  {
    name: 'a full table of connections',
    view: withTables({ connections: { used: 65_536, limit: 65_536 } }),
    want: ['conntrack-full error'],
  },
  {
    name: 'a nearly full table of connections',
    view: withTables({ connections: { used: 60_000, limit: 65_536 } }),
    want: ['conntrack-full warning'],
  },
  { name: 'nothing of a busy one', view: withTables({ connections: { used: 40_000, limit: 65_536 } }), want: [] },
  {
    name: 'a full table of neighbours',
    view: withTables({ neighbours: { used: 1024, limit: 1024 } }),
    want: ['neighbour-table-full error'],
  },
  {
    name: 'rules in both packet filters',
    view: withTables({ legacyRules: 3, chains: [iptablesChain] }),
    want: ['legacy-and-nft-mixed warning'],
  },
  {
    name: 'nothing of empty legacy tables',
    view: withTables({ legacyRules: 0, chains: [iptablesChain] }),
    want: [],
  },
  {
    name: 'nothing of legacy rules beside tables of nftables',
    view: withTables({ legacyRules: 3, chains: [{ family: 'ip', table: 'weft', name: 'forward' }] }),
    want: [],
  },
  {
    name: 'Services in the pod network',
    view: healthyView({ services: [{ ip: parseIp('10.244.0.1'), what: 'Service 10.244.0.1' }] }),
    want: ['service-cidr-overlap error'],
  },
  {
    name: 'nothing of Services elsewhere',
    view: healthyView({ services: [{ ip: parseIp('10.96.0.1'), what: 'Service 10.96.0.1' }] }),
    want: [],
  },
  {
    name: 'something that could not be read',
    view: healthyView({ failures: ['the routes: EPERM'] }),
    want: ['not-looked-at info'],
  },
])('finds $name', ({ view, want }) => {
  expect(found(view)).toEqual(want);
});

describe('of a running agent', () => {
  const drift = {
    object: 'route',
    place: 'flannel.1',
    what: 'node-2',
    was: 'missing',
    cmd: 'ip route replace x',
  } as const;
  const report = (more: Partial<StatusReport>): View => {
    const base = { ...{ version: '', node: 'node-1', pid: 1, startedAt: '2026-01-01T00:00:00Z', backend: 'vxlan' } };
    const rest = { ready: true, checks: [], overlays: [], drift: { totals: {}, entries: [] } };
    return healthyView({ agent: { state: 'answers', report: { ...base, ...rest, ...more } as StatusReport } });
  };
  const at = (second: number) => ({
    ...drift,
    time: new Date(Date.parse('2026-01-01T00:00:00Z') + second * 1000).toISOString(),
  });

  test('a fight: the same repair many times in the last seconds', () => {
    const entries = [51, 53, 55, 57].map(at);
    expect(found(report({ drift: { totals: {}, entries } }))).toEqual(['object-fought-over warning']);
  });

  test('no fight: as many repairs long ago, or fewer repairs', () => {
    expect(found(report({ drift: { totals: {}, entries: [1, 2, 3, 4].map(at) } }))).toEqual([]);
    expect(found(report({ drift: { totals: {}, entries: [55, 57].map(at) } }))).toEqual([]);
  });

  test('a silent store, with the agent’s text', () => {
    const checks = [{ name: 'cluster state', problem: 'since 12:00: ECONNREFUSED', required: false }];
    expect(found(report({ checks }))).toEqual(['store-unreachable warning']);
  });
});
