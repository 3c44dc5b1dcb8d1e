// How long to wait before trying again: exponential, capped, with jitter so that a cluster does not retry in step.

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
  // 2^1023 is the last power a number holds; the cap was reached long before.
  const doublings = Math.min(Math.max(attempt, 1) - 1, 1000);
  const delay = Math.min(policy.capMs, policy.firstMs * 2 ** doublings);
  return Math.round(delay * (1 - policy.jitter + policy.jitter * random));
}
