import { expect, test } from 'vitest';
import { isJsonObject, parseJson } from '../../lib/json.ts';
import type { Answer } from './ask/bounded.ts';
import { type NodeReport, readNodeReport } from './node-report.ts';
import { isAllReady, statusTable } from './status-table.ts';

const overlay = { peers: { wanted: 7, programmed: 6, failing: 1 } };
const guard = { mode: 'count', packets: { strangers: 4, pods: 1, refused: 0 }, strangers: [{ address: '10.0.0.9' }] };
const status = {
  version: '0.1.0',
  backend: 'vxlan',
  ready: true,
  checks: [
    { name: 'peers', required: false, problem: 'node-7 \x1b[31m' },
    { name: 'device', required: true },
  ],
  overlays: [overlay],
  firewall: { guard },
  drift: { totals: { fdb: 2, route: 0 }, entries: [] },
  probes: { states: { reachable: 5, unreachable: 1, unknown: 0 }, peers: [] },
  findings: [{ id: 'tunnel-port-blocked', severity: 'error', cause: 'UDP 8472 is dropped' }],
};

function answer(node: string, value: unknown): Answer<NodeReport> {
  const read = parseJson(JSON.stringify(value));
  if (!isJsonObject(read)) throw new Error('no object');
  return { node, value: readNodeReport(read, node) };
}

test('a node has one line, and its problems stand below it', () => {
  const text = statusTable([answer('node-1', status), { node: 'node-10', problem: 'no answer within 30 s' }]);
  expect(text.split('\n')).toEqual([
    'NODE     VERSION  READY  PEERS  GUARD                            PROBES                      DRIFT',
    'node-1   0.1.0    yes    6/7    count: 5 packets of 1 strangers  5 reachable, 1 unreachable  2 fdb',
    'node-10  ?        ?      ?      ?                                ?                           ?',
    '',
    'node-1: peers: node-7 \\x1b[31m',
    'node-1: tunnel-port-blocked: UDP 8472 is dropped',
    'node-10: no answer within 30 s',
    '',
    '1 of 2 nodes ready, 1 did not answer',
    '',
  ]);
});

test('an agent of another version, or one with an invalid answer, has a line as well', () => {
  const text = statusTable([answer('a', {}), answer('b', { version: 5, overlays: 'x', drift: [], firewall: 3 })]);
  expect(text).toMatch(/^a {5}\? {8}NO /m);
  expect(text).toContain('0 of 2 nodes ready');
});

test('all nodes count as ready only when all have answered', () => {
  const ready = answer('a', status);
  expect(isAllReady([ready])).toBe(true);
  expect(isAllReady([ready, { node: 'b', problem: 'x' }])).toBe(false);
  expect(isAllReady([answer('a', { ...status, ready: false })])).toBe(false);
});
