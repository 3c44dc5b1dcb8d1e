// How fast the sender sends: often while the first packet may arrive at any moment, then so that a network that stays
// silent is not made busy by it.

const FAST_GAP_MS = 0.1;
const FAST_FOR_MS = 50;
const SLOW_GAP_MS = 1;

/** When the next packet is due, having sent one at `nowMs`; the first was due at `startMs`. Packets missed stay unsent. */
export function nextDueMs(startMs: number, nowMs: number): number {
  const fastEndMs = startMs + FAST_FOR_MS;
  if (nowMs < fastEndMs) return Math.min(nextOnGrid(startMs, nowMs, FAST_GAP_MS), fastEndMs);
  return nextOnGrid(fastEndMs, nowMs, SLOW_GAP_MS);
}

function nextOnGrid(originMs: number, nowMs: number, gapMs: number): number {
  return originMs + (Math.floor((nowMs - originMs) / gapMs) + 1) * gapMs;
}
