import { describe, expect, test } from 'vitest';
import { target } from '../../test/support/probe-places.ts';
import type { Verdict } from './classify.ts';
import { PeerRecord } from './peer-record.ts';

const healthy = (rttMs: number): Verdict => ({ state: 'reachable', isAgent: true, rttMs });
const broken: Verdict = {
  state: 'unreachable',
  isAgent: false,
  problem: { id: 'peer-unreachable', severity: 'error', cause: 'c', evidence: 'e', fix: 'f' },
};

/** A record that took in one verdict a second. */
function recordOf(verdicts: readonly Verdict[]): PeerRecord {
  const record = new PeerRecord(target);
  for (const [second, verdict] of verdicts.entries()) {
    record.take(verdict, second * 1000, second * 1000 + 100, verdict === broken);
  }
  return record;
}

function times<T>(count: number, value: T): T[] {
  return Array.from({ length: count }, () => value);
}

describe('a round trip', () => {
  test('that has become slow gives a warning with both numbers, after three in a row', () => {
    const before = times(20, healthy(0.4));
    expect(recordOf([...before, ...times(2, healthy(60))]).problem).toBeUndefined();
    const { state, problem } = recordOf([...before, ...times(3, healthy(60))]);
    expect([state, problem?.id, problem?.severity]).toEqual(['degraded', 'peer-slow', 'warning']);
    expect(problem?.evidence).toBe('60 ms through the tunnel, usually 0.4 ms');
  });

  test.for([
    {
      name: 'one slow packet now and then',
      verdicts: [...times(20, healthy(1)), healthy(90), healthy(1), healthy(90)],
    },
    { name: 'a far node, always', verdicts: times(30, healthy(180)) },
    { name: 'ten times as long, and still nothing', verdicts: [...times(20, healthy(0.2)), ...times(9, healthy(2))] },
    { name: 'a node of which little is known', verdicts: [...times(3, healthy(1)), ...times(2, healthy(90))] },
    { name: 'as before again', verdicts: [...times(20, healthy(1)), ...times(5, healthy(90)), healthy(1)] },
  ])('is no news: $name', ({ verdicts }) => {
    expect(recordOf(verdicts)).toMatchObject({ state: 'reachable', problem: undefined });
  });

  test('that stays slow stays named, although it has become usual', () => {
    expect(recordOf([...times(20, healthy(1)), ...times(200, healthy(90))]).problem?.id).toBe('peer-slow');
  });
});

describe('a peer', () => {
  test('counts as failed since its first failure, until it answers', () => {
    const failing = recordOf([healthy(1), broken, broken, broken]);
    expect([failing.state, failing.failingSinceMs]).toEqual(['unreachable', 1000]);
    expect(recordOf([healthy(1), broken, healthy(1)]).failingSinceMs).toBeUndefined();
  });

  test('keeps the loss of its last sixteen examinations', () => {
    expect(new PeerRecord(target).loss).toBe(0);
    expect(recordOf([healthy(1), broken, healthy(1), broken]).loss).toBe(0.5);
    expect(recordOf([...times(30, broken), ...times(12, healthy(1))]).loss).toBe(0.25);
  });

  test('whose agent never answered has no agent missing; one whose agent did answer says since when', () => {
    const plain: Verdict = { state: 'reachable', isAgent: false, rttMs: 1 };
    expect(recordOf(times(5, plain)).agentSilentMs(9000)).toBeUndefined();
    expect(recordOf([healthy(1), plain, plain]).agentSilentMs(9100)).toBe(9000);
    expect(recordOf([healthy(1), plain, healthy(1)]).agentSilentMs(9000)).toBeUndefined();
  });
});
