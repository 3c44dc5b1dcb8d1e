import { describe, expect, test } from 'vitest';
import { RepairBudget } from './repair-budget.ts';

/** How many repairs are granted within `durationMs` when one is requested every `everyMs`. */
function granted(budget: RepairBudget, key: string, everyMs: number, durationMs: number): number {
  let count = 0;
  for (let at = 0; at < durationMs; at += everyMs) if (budget.take(key, at) === 0) count++;
  return count;
}

describe('RepairBudget', () => {
  test('repairs single faults at once, for ever', () => {
    expect(granted(new RepairBudget(), 'a', 2000, 200_000)).toBe(100);
  });

  test('repairs five times against a program that undoes ten repairs a second, and then once a second', () => {
    expect(granted(new RepairBudget(), 'a', 100, 10_000)).toBe(14);
  });

  test('returns how long to wait', () => {
    const budget = new RepairBudget();
    for (let i = 0; i < 5; i++) expect(budget.take('a', 0)).toBe(0);
    expect(budget.take('a', 0)).toBe(1000);
    expect(budget.take('a', 400)).toBe(600);
    expect(budget.take('a', 1000)).toBe(0);
  });

  test('keeps keys apart', () => {
    const budget = new RepairBudget();
    granted(budget, 'a', 10, 1000);
    expect(budget.take('b', 1000)).toBe(0);
  });

  test('counts the waits of one fight, and starts again after a quiet time', () => {
    const budget = new RepairBudget();
    granted(budget, 'a', 100, 1000);
    expect(budget.waited('a')).toBeGreaterThan(1);
    budget.take('a', 60_000);
    expect(budget.waited('a')).toBe(0);
    expect(budget.waited('never seen')).toBe(0);
  });

  test('stays correct over more keys than it keeps', () => {
    const budget = new RepairBudget();
    for (let i = 0; i < 5000; i++) expect(budget.take(`key ${i}`, i)).toBe(0);
    for (let i = 0; i < 4; i++) expect(budget.take('key 4999', 4999)).toBe(0);
    expect(budget.take('key 4999', 4999)).toBeGreaterThan(0);
  });
});
