import { describe, expect, test } from 'vitest';
import { heartbeatMs, keepAsking } from './heartbeat.ts';

test.for([
  { nodes: 1, want: 12_000 },
  { nodes: 600, want: 12_000 },
  { nodes: 1500, want: 30_000 },
  { nodes: 5000, want: 60_000 },
])('a node of $nodes asks every $want ms', ({ nodes, want }) => {
  expect(heartbeatMs(nodes)).toBe(want);
});

describe('keepAsking', () => {
  const retry = { firstMs: 1, capMs: 2, jitter: 0 };

  test('reports each failure and each answer, and asks again after both, until it is aborted', async () => {
    const ending = new AbortController();
    const heard: string[] = [];
    const answers = [true, false, false, true];
    await keepAsking(
      {
        ask: () => (answers[heard.length] === true ? Promise.resolve() : Promise.reject(new Error('silent'))),
        onAnswer: () => {
          heard.push('answer');
          if (heard.length === answers.length) ending.abort();
        },
        onFailure: (error) => heard.push(String(error)),
        everyMs: () => 3,
        retry,
        random: () => 0,
      },
      ending.signal,
    );
    expect(heard).toEqual(['answer', 'Error: silent', 'Error: silent', 'answer']);
  });

  test('does not report a question that ended because of the abort', async () => {
    const ending = new AbortController();
    const failures: unknown[] = [];
    const ask = (): Promise<void> => {
      ending.abort();
      return Promise.reject(new Error('aborted'));
    };
    const quiet = { onAnswer: () => undefined, onFailure: (error: unknown) => failures.push(error) };
    await keepAsking({ ask, ...quiet, everyMs: () => 1, retry, random: () => 0 }, ending.signal);
    expect(failures).toEqual([]);
  });
});
