// Computes how long to wait before the next try: the time grows exponentially up to a limit, and has a random part, so that the
// nodes of a cluster do not retry at the same moment.

export interface BackoffPolicy {
  /** Delay after the first failure, before jitter. */
  readonly firstMs: number;
  /** Highest delay, before jitter. */
  readonly capMs: number;
  /** Share of the delay that is random, 0–1: 0.5 gives 50–100 % of it. */
  readonly jitter: number;
}

/**
 * The delay in ms after failure number `attempt` (1 is the first): `firstMs` doubled for every earlier failure, at most
 * `capMs`, of which the share `jitter` is multiplied by `random` (0 ≤ random < 1). Pure; never above `capMs`.
 */
export function backoffMs(policy: BackoffPolicy, attempt: number, random: number): number {
  // 2^1023 is the largest power of two that a number can hold. `capMs` is reached long before.
  const doublings = Math.min(Math.max(attempt, 1) - 1, 1000);
  const delay = Math.min(policy.capMs, policy.firstMs * 2 ** doublings);
  return Math.round(delay * (1 - policy.jitter + policy.jitter * random));
}
