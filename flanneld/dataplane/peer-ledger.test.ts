import { describe, expect, test } from 'vitest';
import { isWorthLogging, PeerLedger } from './peer-ledger.ts';

/** Without jitter. */
const ledger = (): PeerLedger => new PeerLedger(() => 0.999_999);

describe('PeerLedger', () => {
  test('leaves a failing key alone for twice as long each time, up to half a minute', () => {
    const book = ledger();
    const delays: number[] = [];
    let now = 0;
    for (let attempt = 0; attempt < 12; attempt++) {
      book.failed('a', 'sig', 'EINVAL', now);
      const due = book.nextDueMs(now) ?? 0;
      expect(book.isDue('a', () => 'sig', now + due - 1)).toBe(false);
      now += due;
      expect(book.isDue('a', () => 'sig', now)).toBe(true);
      delays.push(due);
    }
    expect(delays.slice(0, 4)).toEqual([100, 200, 400, 800]);
    expect(delays.at(-1)).toBe(30_000);
  });

  test('tries at once what is to become something else', () => {
    const book = ledger();
    book.failed('a', 'old', 'EINVAL', 0);
    expect(book.isDue('a', () => 'old', 1)).toBe(false);
    expect(book.isDue('a', () => 'new', 1)).toBe(true);
    expect(book.failed('a', 'new', 'EINVAL', 1)).toMatchObject({ attempts: 1, sinceMs: 1 });
  });

  test('counts attempts and remembers since when', () => {
    const book = ledger();
    book.failed('a', 'sig', 'first', 5);
    book.failed('a', 'sig', 'second', 7);
    expect(book.failures()).toEqual([{ key: 'a', reason: 'second', attempts: 2, sinceMs: 5 }]);
  });

  test('never lets one key’s trouble touch another’s', () => {
    const book = ledger();
    book.failed('a', 'sig', 'EINVAL', 0);
    expect(book.isDue('b', () => 'sig', 0)).toBe(true);
    expect(book.isFailing('b')).toBe(false);
  });

  test('knows as what a key was programmed, and that those behind are as they were', () => {
    const book = ledger();
    expect(book.programmedAs('a')).toBeUndefined();
    book.reached((key) => `${key}1`, ['new']);
    expect(['a', 'b', 'new'].map((key) => book.programmedAs(key))).toEqual(['a1', 'b1', undefined]);
    book.reached((key) => `${key}2`, ['b', 'new']);
    book.reached((key) => (key === 'a' ? undefined : `${key}3`), ['b', 'new']);
    expect(['a', 'b', 'c', 'new'].map((key) => book.programmedAs(key))).toEqual([undefined, 'b1', 'c3', undefined]);
  });

  test('forgets the failures of what succeeded and of what is in no trouble any more', () => {
    const book = ledger();
    for (const key of ['a', 'b', 'c']) book.failed(key, 's', 'EINVAL', 0);
    book.succeeded('a');
    book.retain((key) => key === 'b');
    expect([book.failures().map(({ key }) => key), book.isFailing('a')]).toEqual([['b'], false]);
    book.succeeded('b');
    expect(book.nextDueMs(0)).toBeUndefined();
  });
});

test('the 1st, 10th, 100th … repetition is worth a line', () => {
  const worth = Array.from({ length: 1001 }, (_, n) => n).filter(isWorthLogging);
  expect(worth).toEqual([1, 10, 100, 1000]);
});
