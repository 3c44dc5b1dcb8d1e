import { describe, expect, test } from 'vitest';
import { type Drift, DriftLedger } from './drift-ledger.ts';

const at = (ms: number) => new Date(Date.UTC(2026, 0, 1) + ms);
const route: Drift = { object: 'route', place: 'flannel.1', what: 'node-2', was: 'missing', cmd: 'ip route replace …' };

describe('DriftLedger', () => {
  test('keeps what was found, when it was found, and what was done', () => {
    const ledger = new DriftLedger(() => at(1500));
    ledger.note(route);
    expect(ledger.entries()).toEqual([{ time: '2026-01-01T00:00:01.500Z', ...route }]);
  });

  test('keeps only the newest entries, the oldest of them first, and counts all', () => {
    let ms = 0;
    const ledger = new DriftLedger(() => at(ms), 3);
    for (; ms < 8; ms++) ledger.note({ ...route, what: `node-${ms}` });
    expect(ledger.entries().map(({ what }) => what)).toEqual(['node-5', 'node-6', 'node-7']);
    expect(ledger.total('route')).toBe(8);
  });

  test('counts every object of an entry for many objects', () => {
    const ledger = new DriftLedger();
    ledger.note({ ...route, count: 5000 });
    ledger.note({ ...route, object: 'fdb' });
    expect([ledger.total('route'), ledger.total('fdb'), ledger.total('link')]).toEqual([5000, 1, 0]);
    expect(ledger.entries()).toHaveLength(2);
  });

  test('shortens a long command', () => {
    const ledger = new DriftLedger();
    ledger.note({ ...route, cmd: 'x'.repeat(100_000) });
    expect(ledger.entries()[0]?.cmd).toHaveLength(1025);
  });
});
