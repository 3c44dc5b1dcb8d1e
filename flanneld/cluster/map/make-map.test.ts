import { expect, test } from 'vitest';
import { isJsonObject, parseJson } from '../../../lib/json.ts';
import type { Answer } from '../ask/bounded.ts';
import { type MapReport, makeMap, readMapReport } from './make-map.ts';

function answer(node: string, peers: readonly object[], more: object = {}): Answer<MapReport> {
  const read = parseJson(JSON.stringify({ version: '0.1.0', ready: true, probes: { states: {}, peers }, ...more }));
  if (!isJsonObject(read)) throw new Error('no object');
  return { node, value: readMapReport(read, node) };
}

const made = new Date('2026-11-29T02:00:00Z');

test('a row has the results of one node for each other node, in the order of the nodes', () => {
  const { nodes, rows } = makeMap(
    [
      answer('a', [
        { peer: 'c', family: 4, state: 'unreachable', loss: 1 },
        { peer: 'b', family: 4, state: 'reachable', loss: 0.125, rttMs: 0.4 },
        { peer: 'gone', family: 4, state: 'reachable', loss: 0 },
      ]),
      { node: 'b', problem: 'no answer within 30 s' },
      answer('c', [{ peer: 'a', family: 4, state: 'unknown', loss: 0 }]),
    ],
    [],
    made,
  );
  expect(rows).toEqual([
    [0, { s: 'ok', r: 0.4, l: 12.5 }, { s: 'dead', l: 100 }],
    [0, 0, 0],
    [0, 0, 0],
  ]);
  expect(nodes.map(({ name, ready, problems }) => ({ name, ready, problems }))).toEqual([
    { name: 'a', ready: 'yes', problems: [] },
    { name: 'b', ready: '?', problems: ['no answer within 30 s'] },
    { name: 'c', ready: 'yes', problems: [] },
  ]);
});

test('the worse result of two address families is shown', () => {
  const peers = [
    { peer: 'b', family: 4, state: 'reachable', loss: 0, rttMs: 1 },
    { peer: 'b', family: 6, state: 'degraded', loss: 0.5, rttMs: 2 },
  ];
  for (const order of [peers, peers.toReversed()]) {
    expect(makeMap([answer('a', order), answer('b', [])], [], made).rows[0]).toEqual([0, { s: 'bad', r: 2, l: 50 }]);
  }
});

test('a pair shows the agent’s finding, and a node the findings of agent and doctor', () => {
  const finding = { severity: 'error', node: 'a', cause: 'c', evidence: '', fix: '' } as const;
  const own = { ...finding, id: 'tunnel-one-way', peer: 'b' };
  const doctors = [
    { ...finding, id: 'tunnel-port-blocked', peer: 'b' },
    { ...finding, id: 'firewall-drops-tunnel' },
  ];
  const map = makeMap([answer('a', [], { findings: [own] }), answer('b', [])], doctors, made);
  expect(map.findings.map(({ id }) => id).sort()).toEqual(['firewall-drops-tunnel', 'tunnel-one-way']);
});

test('a finding of both doctor and agent appears once, and is linked with its square', () => {
  const finding = {
    id: 'x',
    severity: 'error',
    node: 'a',
    peer: 'b',
    cause: 'a and b',
    evidence: '',
    fix: '',
  } as const;
  const map = makeMap([answer('a', [], { findings: [finding] }), answer('b', [])], [finding], made);
  expect(map.findings.map(({ title }) => title)).toEqual(['a and b']);
  expect(map.details).toEqual([{ from: 0, to: 1, text: 'a and b [x]' }]);
});
