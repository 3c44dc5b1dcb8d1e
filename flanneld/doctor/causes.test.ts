import { expect, test } from 'vitest';
import { causesOnly } from './causes.ts';
import type { Draft } from './draft.ts';

function draft(id: Draft['id'], more: Partial<Draft> = {}): Draft {
  return { id, cause: id, evidence: `evidence of ${id}`, fix: 'x', ...more };
}

const ids = (drafts: readonly Draft[]): string[] =>
  causesOnly(drafts).map(({ id, peer }) => (peer === undefined ? id : `${id} ${peer}`));

test.for<{ name: string; drafts: readonly Draft[]; want: readonly string[] }>([
  { name: 'nothing', drafts: [], want: [] },
  {
    name: 'a dead interface, which makes every peer silent',
    drafts: [
      draft('peer-unreachable', { peer: 'node-2' }),
      draft('underlay-down'),
      draft('peer-unreachable', { peer: 'node-3' }),
    ],
    want: ['underlay-down'],
  },
  {
    name: 'a conflict of one peer as the cause of that peer’s silence, and of no other peer’s',
    drafts: [
      draft('subnet-conflict', { peer: 'node-2' }),
      draft('peer-tunnel-broken', { peer: 'node-2' }),
      draft('peer-tunnel-broken', { peer: 'node-3' }),
    ],
    want: ['subnet-conflict node-2', 'peer-tunnel-broken node-3'],
  },
  {
    name: 'things that have nothing to do with each other',
    drafts: [draft('ip-forward-off'), draft('cni-plugin-missing'), draft('tunnel-port-blocked', { peer: 'node-2' })],
    want: ['ip-forward-off', 'cni-plugin-missing', 'tunnel-port-blocked node-2'],
  },
  {
    name: 'a chain of causes by the first cause',
    drafts: [draft('agent-not-ready'), draft('device-missing'), draft('route-missing'), draft('vxlan-port-taken')],
    want: ['vxlan-port-taken'],
  },
  {
    name: 'an error although a warning might be its cause',
    drafts: [draft('network-overlap', { severity: 'warning' }), draft('route-shadowed', { peer: 'node-2' })],
    want: ['network-overlap', 'route-shadowed node-2'],
  },
])('names $name', ({ drafts, want }) => {
  expect(ids(drafts)).toEqual(want);
});

test('lists consequences in the evidence of the cause, five of them by name', () => {
  const peers = Array.from({ length: 7 }, (_, n) => draft('tunnel-port-blocked', { peer: `node-${n}` }));
  const [only, ...others] = causesOnly([draft('firewall-drops-tunnel'), ...peers]);
  expect(others).toEqual([]);
  expect(only?.evidence).toBe(
    'evidence of firewall-drops-tunnel; consequences: node-0 (tunnel-port-blocked), node-1 (tunnel-port-blocked), ' +
      'node-2 (tunnel-port-blocked), node-3 (tunnel-port-blocked), node-4 (tunnel-port-blocked) and 2 more',
  );
});
