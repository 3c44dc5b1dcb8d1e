// How fast the sender sends. At first it sends often, since the first packet may get through at any moment. Later it sends less, so
// that it does not load a network that stays silent.

const FAST_GAP_MS = 0.1;
const FAST_FOR_MS = 50;
const SLOW_GAP_MS = 1;

/** When the packet after the one sent at `nowMs` is due; the first was due at `startMs`. Missed packets are not sent later. */
export function nextDueMs(startMs: number, nowMs: number): number {
  const fastEndMs = startMs + FAST_FOR_MS;
  if (nowMs < fastEndMs) return Math.min(nextOnGrid(startMs, nowMs, FAST_GAP_MS), fastEndMs);
  return nextOnGrid(fastEndMs, nowMs, SLOW_GAP_MS);
}

function nextOnGrid(originMs: number, nowMs: number, gapMs: number): number {
  return originMs + (Math.floor((nowMs - originMs) / gapMs) + 1) * gapMs;
}
