import { describe, expect, test } from 'vitest';
import { FlowLedger } from './ledger.ts';

/**
 * Makes a ledger from a text with one letter for each tick of 1 ms: `r` is received, `l` lost, `-` a tick at which the probe did
 * not run.
 */
function book(fates: string): FlowLedger {
  const ledger = new FlowLedger(1, 0);
  for (const [tick, fate] of [...fates].entries()) {
    if (fate !== '-') ledger.noteSent(tick);
    if (fate === 'r') ledger.noteReceived(tick);
  }
  return ledger;
}

describe('the result of a flow', () => {
  test.for([
    { name: 'all arrive', fates: 'rrrr', want: { sent: 4, received: 4, lost: 0, lostAtMost: 0, longestLossMs: 0 } },
    { name: 'none arrives', fates: 'llll', want: { sent: 4, received: 0, lost: 4, lostAtMost: 4, longestLossMs: 4 } },
    { name: 'lost in the middle', fates: 'rlllr', want: { lost: 3, lostAtMost: 3, longestLossMs: 3, unsent: 0 } },
    { name: 'lost at the end', fates: 'rrll', want: { lost: 2, lostAtMost: 2, longestLossMs: 2 } },
    { name: 'two outages', fates: 'rlrrllr', want: { lost: 3, lostAtMost: 3, longestLossMs: 2 } },
    { name: 'slept through, nothing lost', fates: 'r---r', want: { sent: 2, lost: 0, lostAtMost: 0, unsent: 3 } },
    { name: 'slept through beside a loss', fates: 'r-l--lr', want: { lost: 2, lostAtMost: 5, longestLossMs: 5 } },
    { name: 'no tick', fates: '', want: { sent: 0, lost: 0, lostAtMost: 0, longestLossMs: 0, durationMs: 0 } },
  ])('$name', ({ fates, want }) => {
    expect(book(fates).result()).toMatchObject(want);
  });

  test('describes each outage with its time and its packets', () => {
    expect(book('rrl-lrrrlr').result().outages).toEqual([
      { fromMs: 2, lastedMs: 3, lost: 2 },
      { fromMs: 8, lastedMs: 1, lost: 1 },
    ]);
  });

  test('scales with the length of a tick', () => {
    const ledger = new FlowLedger(10, 0);
    for (const tick of [0, 1, 2]) ledger.noteSent(tick);
    ledger.noteReceived(0);
    expect(ledger.result()).toMatchObject({ durationMs: 30, longestLossMs: 20 });
  });

  test('counts a packet that arrives twice only once, and ignores one that was never sent', () => {
    const ledger = book('rr');
    ledger.noteReceived(1);
    ledger.noteReceived(77);
    expect(ledger.result()).toMatchObject({ received: 2, lost: 0, duplicates: 1 });
  });

  test('counts a late packet as received', () => {
    const ledger = book('rlr');
    ledger.noteReceived(1);
    expect(ledger.result()).toMatchObject({ received: 3, lost: 0, outages: [] });
  });

  test('leaves out packets from before its beginning', () => {
    const ledger = new FlowLedger(1, 500);
    ledger.noteReceived(499);
    for (const sequence of [500, 501, 502]) ledger.noteSent(sequence);
    ledger.noteReceived(501);
    expect(ledger.result()).toMatchObject({ sent: 3, received: 1, durationMs: 3 });
    expect(ledger.result().outages.map(({ fromMs }) => fromMs)).toEqual([0, 2]);
  });

  test('keeps the largest gap, and what was refused or misdirected', () => {
    const ledger = book('l');
    for (const gap of [1, 30, 2]) ledger.noteGap(gap);
    ledger.noteRefused();
    ledger.noteWrongSource();
    expect(ledger.result()).toMatchObject({ ownGapMs: 30, refused: 1, wrongSource: 1, lost: 1 });
  });

  test('holds more ticks than it has room for at first', () => {
    const ledger = new FlowLedger(1, 0);
    for (let tick = 0; tick < 200_000; tick += 1) {
      ledger.noteSent(tick);
      if (tick !== 150_000) ledger.noteReceived(tick);
    }
    expect(ledger.result().outages).toEqual([{ fromMs: 150_000, lastedMs: 1, lost: 1 }]);
  });
});

describe('the progress of a flow', () => {
  test.for([
    { name: 'all arrived', fates: 'rrr', inRow: 3 },
    { name: 'since the last loss', fates: 'rlrr', inRow: 2 },
    { name: 'the newest is still under way', fates: 'rrl', inRow: 2 },
    { name: 'slept through is no loss', fates: 'lr-r', inRow: 2 },
    { name: 'nothing has arrived for 30 ticks', fates: `rrr${'l'.repeat(30)}`, inRow: 0 },
    { name: 'nothing at all', fates: '', inRow: 0 },
  ])('$name', ({ fates, inRow }) => {
    expect(book(fates).progress().inRow).toBe(inRow);
  });
});
