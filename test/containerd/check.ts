// One thing that must hold, and how a list of them is run.

import { errorText } from '../../lib/errors.ts';
import type { Site } from './site.ts';

export interface Check {
  readonly name: string;
  /** Fails, and only these fail, when port mapping does nothing: the negative control. */
  readonly hostPort?: boolean;
  /** Rejects when it does not hold. Checks run in order; later ones use what earlier ones made. */
  run(site: Site): Promise<void>;
}

export interface Outcome {
  readonly check: Check;
  readonly failure?: string;
}

/** Runs every check, whatever becomes of the ones before. */
export async function runChecks(
  site: Site,
  checks: readonly Check[],
  tell: (line: string) => void,
): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  for (const check of checks) {
    const before = performance.now();
    const failure = await check.run(site).then(
      () => undefined,
      (thrown: unknown) => errorText(thrown),
    );
    outcomes.push(failure === undefined ? { check } : { check, failure });
    const ms = (performance.now() - before).toFixed(0);
    tell(failure === undefined ? `ok    ${check.name} (${ms} ms)` : `FAIL  ${check.name}: ${failure}`);
  }
  return outcomes;
}

/** Throws unless both are the same as JSON. */
export function same(what: string, got: unknown, want: unknown): void {
  const [one, other] = [JSON.stringify(got), JSON.stringify(want)];
  if (one !== other) throw new Error(`${what}: expected ${other}, got ${one}`);
}

export function holds(condition: boolean, otherwise: string): void {
  if (!condition) throw new Error(otherwise);
}
