import { expect, test } from 'vitest';
import { isJsonObject, parseJson } from '../../../lib/json.ts';
import { readFindings } from './read-findings.ts';

function read(value: unknown) {
  const answer = parseJson(JSON.stringify(value));
  if (!isJsonObject(answer)) throw new Error('no object');
  return readFindings(answer, 'node-1');
}

const good = { id: 'x', severity: 'error', node: 'node-1', peer: 'p', cause: 'c', evidence: 'e', fix: 'f' };

test('a finding keeps its texts and belongs to the node that was asked', () => {
  expect(read({ findings: [good] })).toEqual([good]);
  expect(read({ findings: [{ ...good, node: 'somebody-else' }] })).toEqual([good]);
});

test.for([
  { name: 'no findings', value: {} },
  { name: 'no list', value: { findings: { 0: good } } },
  { name: 'no object', value: { findings: ['x', 3, null] } },
  { name: 'no id', value: { findings: [{ ...good, id: 5 }] } },
  { name: 'an unknown severity', value: { findings: [{ ...good, severity: 'fatal' }] } },
])('$name is nothing', ({ value }) => {
  expect(read(value)).toEqual([]);
});

test('a missing text becomes empty, a long text is cut, and a long list too', () => {
  expect(read({ findings: [{ id: 'x', severity: 'info', cause: 'c'.repeat(9000) }] })).toEqual([
    { id: 'x', severity: 'info', node: 'node-1', cause: 'c'.repeat(2000), evidence: '', fix: '' },
  ]);
  expect(read({ findings: Array(3000).fill(good) })).toHaveLength(2000);
});
