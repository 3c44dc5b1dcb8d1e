import { describe, expect, test } from 'vitest';
import { mergeFindings } from '../findings/merge-findings.ts';
import type { Part } from './connectivity-plan.ts';
import { connectivityText, findingsOf, type Outcome } from './report-text.ts';

function outcome(part: Part, from: string, to: string, failure?: string): Outcome {
  return { part, from, to, where: 'pod', ...(failure !== undefined && { failure }) };
}

describe('findingsOf', () => {
  test('reports a cause once, and leaves out failures that follow from it', () => {
    const all = (['pod', 'full-size', 'service', 'node'] as const).map((part) => outcome(part, 'a', 'b', 'silence'));
    expect(findingsOf(all).map(({ id }) => id)).toEqual(['connectivity-pod', 'connectivity-node']);
  });

  test('keeps failures that have a cause of their own', () => {
    const all = [outcome('pod', 'a', 'b'), outcome('full-size', 'a', 'b', 'x'), outcome('service', 'c', 'b', 'y')];
    expect(findingsOf(all).map(({ id, evidence }) => [id, evidence])).toEqual([
      ['connectivity-full-size', 'x'],
      ['connectivity-service', 'y'],
    ]);
  });

  test('merges failures into a sentence about the node that cannot be reached', () => {
    const findings = findingsOf(['a', 'b', 'c'].map((from) => outcome('pod', from, 'z', 'x')));
    expect(mergeFindings(findings).map(({ title }) => title)).toEqual(['pods on 3 nodes cannot reach pods on z']);
  });
});

test('the text has a line for each part that was tried', () => {
  const outcomes = [outcome('pod', 'a', 'b'), outcome('pod', 'b', 'a', 'x'), outcome('dns', 'a', 'a', 'y')];
  expect(connectivityText([], outcomes, []).split('\n').slice(2, 5)).toEqual([
    '                      OK',
    'pod to pod            1 of 2',
    'names by cluster DNS  0 of 1',
  ]);
});
