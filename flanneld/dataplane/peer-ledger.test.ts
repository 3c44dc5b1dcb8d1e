import { describe, expect, test } from 'vitest';
import { isWorthLogging, PeerLedger } from './peer-ledger.ts';

/** Without jitter. */
const ledger = (): PeerLedger<string> => new PeerLedger(() => 0.999_999);

describe('PeerLedger', () => {
  test('waits twice as long after each failure of a key, up to half a minute', () => {
    const book = ledger();
    const delays: number[] = [];
    let now = 0;
    for (let attempt = 0; attempt < 12; attempt++) {
      book.failed('a', 'sig', 'EINVAL', now);
      const due = book.nextDueMs(now) ?? 0;
      expect(book.isDue('a', 'sig', now + due - 1)).toBe(false);
      now += due;
      expect(book.isDue('a', 'sig', now)).toBe(true);
      delays.push(due);
    }
    expect(delays.slice(0, 4)).toEqual([100, 200, 400, 800]);
    expect(delays.at(-1)).toBe(30_000);
  });

  test('tries a key at once when its wanted object has changed', () => {
    const book = ledger();
    book.failed('a', 'old', 'EINVAL', 0);
    expect(book.isDue('a', 'old', 1)).toBe(false);
    expect(book.isDue('a', 'new', 1)).toBe(true);
    expect(book.failed('a', 'new', 'EINVAL', 1)).toMatchObject({ attempts: 1 });
  });

  test('counts the attempts of a key, and keeps the last reason', () => {
    const book = ledger();
    book.failed('a', 'sig', 'first', 5);
    book.failed('a', 'sig', 'second', 7);
    expect(book.failures()).toEqual([{ key: 'a', reason: 'second', attempts: 2 }]);
  });

  test('keeps the failures of one key apart from those of others', () => {
    const book = ledger();
    book.failed('a', 'sig', 'EINVAL', 0);
    expect(book.isDue('b', 'sig', 0)).toBe(true);
    expect(book.isFailing('b')).toBe(false);
  });

  test('knows whether a peer has its objects, and whether it had others before', () => {
    const book = ledger();
    const state = (key: string) => ({ settled: book.isSettled(key), was: book.wasProgrammed(key) });
    for (const key of ['a', 'b']) book.wanted(key, true);
    expect(state('a')).toEqual({ settled: false, was: false });
    // It needs other objects before it has had the first ones.
    book.wanted('b', false);
    expect(state('b')).toEqual({ settled: false, was: false });
    book.succeeded('a');
    expect(state('a')).toEqual({ settled: true, was: true });
    book.wanted('a', false);
    book.failed('a', 'two', 'EINVAL', 0);
    expect([state('a'), book.unsettled()]).toEqual([{ settled: false, was: true }, ['b', 'a']]);
    // It left, and came again.
    book.succeeded('a');
    book.wanted('a', true);
    expect(state('a')).toEqual({ settled: false, was: false });
  });

  test('tries failing keys at once when something has changed that may help', () => {
    const book = ledger();
    book.failed('a', 'sig', 'EINVAL', 0);
    book.retryNow();
    expect([book.isDue('a', 'sig', 0), book.failures()[0]?.attempts]).toEqual([true, 1]);
  });

  test('forgets the failures of a key that succeeded', () => {
    const book = ledger();
    for (const key of ['a', 'b']) book.failed(key, 's', 'EINVAL', 0);
    book.succeeded('a');
    expect([book.failures().map(({ key }) => key), book.isFailing('a')]).toEqual([['b'], false]);
    book.succeeded('b');
    expect(book.nextDueMs(0)).toBeUndefined();
  });
});

test('the 1st, 10th, 100th … repetition is worth a line', () => {
  const worth = Array.from({ length: 1001 }, (_, n) => n).filter(isWorthLogging);
  expect(worth).toEqual([1, 10, 100, 1000]);
});
