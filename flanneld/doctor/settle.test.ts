import { describe, expect, test } from 'vitest';
import { healthyView } from '../../test/support/doctor-view.ts';
import type { Finding } from '../health/finding.ts';
import type { StatusReport } from '../health/status/report.ts';
import type { Draft } from './draft.ts';
import { lasting, once, whileStarting, withHistory } from './settle.ts';

function draft(id: Draft['id'], more: Partial<Draft> = {}): Draft {
  return { id, cause: 'c', evidence: 'e', fix: 'f', ...more };
}

const keys = (drafts: readonly Draft[]): string[] => drafts.map(({ id, peer = '' }) => `${id} ${peer}`.trim());

test('a finding that the second examination does not confirm is dropped, and others get its text', () => {
  const first = [draft('bridge-down'), draft('route-missing', { evidence: 'old' })];
  const second = [draft('route-missing', { evidence: 'new' }), draft('hairpin-off')];
  expect(lasting(first, second)).toEqual([draft('route-missing', { evidence: 'new' })]);
});

test('the same finding about the same peer is reported once', () => {
  const drafts = [
    draft('firewall-drops-tunnel', { evidence: 'with the rule' }),
    draft('firewall-drops-tunnel'),
    draft('peer-unreachable', { peer: 'node-2' }),
    draft('peer-unreachable', { peer: 'node-3' }),
  ];
  expect(once(drafts)).toEqual([drafts[0], drafts[2], drafts[3]]);
});

describe('an agent', () => {
  const view = (ready: boolean, second: number) => {
    const startedAt = '2026-01-01T00:00:00.000Z';
    const report = { ready, startedAt } as StatusReport;
    return healthyView({ agent: { state: 'answers', report }, nowMs: Date.parse(startedAt) + second * 1000 });
  };
  const drafts = [draft('subnet-env-missing'), draft('ip-forward-off'), draft('agent-not-ready')];

  test.for([
    { name: 'that has just started may not have made its objects yet', seen: view(false, 5), want: ['ip-forward-off'] },
    { name: 'that is not ready for long has a problem', seen: view(false, 60), want: keys(drafts) },
    { name: 'that is ready has made everything', seen: view(true, 5), want: keys(drafts) },
  ])('$name', ({ seen, want }) => {
    expect(keys(whileStarting(seen, drafts))).toEqual(want);
  });
});

describe('of a peer', () => {
  const finding = (id: string, peer?: string, severity: Finding['severity'] = 'error'): Finding => ({
    ...{ id, severity, node: 'node-1', cause: 'c', evidence: 'e', fix: 'f' },
    ...(peer !== undefined && { peer }),
  });

  test.for<{ name: string; own: readonly Draft[]; agents: readonly Finding[]; want: readonly string[] }>([
    {
      name: 'adds the agent’s knowledge that only one direction is blocked',
      own: [draft('tunnel-port-blocked', { peer: 'node-2' })],
      agents: [finding('tunnel-one-way', 'node-2')],
      want: ['tunnel-one-way node-2'],
    },
    {
      name: 'drops what the agent says of a peer that the doctor reaches',
      own: [draft('tunnel-port-blocked', { peer: 'node-3' })],
      agents: [finding('tunnel-one-way', 'node-2')],
      want: ['tunnel-port-blocked node-3'],
    },
    {
      name: 'does the same with one finding about many peers',
      own: [draft('tunnel-port-blocked'), draft('tunnel-port-blocked', { peer: 'node-9' })],
      agents: [finding('tunnel-one-way')],
      want: ['tunnel-port-blocked node-9', 'tunnel-one-way'],
    },
    {
      name: 'drops an earlier finding of the agent that the doctor no longer sees',
      own: [],
      agents: [finding('peer-unreachable', 'node-2'), finding('peer-slow', 'node-3', 'warning')],
      want: ['peer-slow node-3'],
    },
    {
      name: 'reports a slow peer that is blocked now as both',
      own: [draft('tunnel-port-blocked', { peer: 'node-2' })],
      agents: [finding('peer-slow', 'node-2', 'warning')],
      want: ['tunnel-port-blocked node-2', 'peer-slow node-2'],
    },
    {
      name: 'keeps what the doctor knows better',
      own: [draft('vtep-mac-mismatch', { peer: 'node-2' })],
      agents: [finding('tunnel-one-way', 'node-2')],
      want: ['vtep-mac-mismatch node-2'],
    },
    { name: 'leaves out an id that only a newer agent knows', own: [], agents: [finding('newer', 'node-2')], want: [] },
  ])('$name', ({ own, agents, want }) => {
    expect(keys(withHistory(own, agents))).toEqual(want);
  });
});
