import { expect, test } from 'vitest';
import { nextDueMs } from './pace.ts';

test.for([
  { name: '10 kHz at first', nowMs: 1000, want: 1000.1 },
  { name: 'on the grid, however late the last one was', nowMs: 1000.17, want: 1000.2 },
  { name: 'without making up for what was slept through', nowMs: 1007.03, want: 1007.1 },
  { name: 'up to 50 ms', nowMs: 1049.95, want: 1050 },
  { name: 'then 1 kHz', nowMs: 1050, want: 1051 },
  { name: '1 kHz for ever', nowMs: 61_050.5, want: 61_051 },
])('packets are sent $name', ({ nowMs, want }) => {
  expect(nextDueMs(1000, nowMs)).toBeCloseTo(want, 6);
});

test('a sender without an answer sends 500 packets in the first 50 ms and 950 in the rest of a second', () => {
  const sentBefore = (endMs: number): number => {
    let sent = 0;
    // The clock advances a little while a packet is sent.
    for (let nowMs = 0; nowMs < endMs; nowMs = nextDueMs(0, nowMs) + 1e-6) sent += 1;
    return sent;
  };
  expect(sentBefore(50)).toBe(500);
  expect(sentBefore(1000)).toBe(1450);
});
