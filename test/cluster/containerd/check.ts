// A check is one thing that must hold. This file runs lists of checks.

import { errorText } from '../../../lib/errors.ts';

export interface Check<S> {
  readonly name: string;
  /** The parts the check depends on. When a part is broken on purpose, exactly the checks that need it must fail. */
  readonly needs?: readonly string[];
  /** Rejects when the check fails. Checks run in order, and later ones use what earlier ones made. */
  run(site: S): Promise<void>;
}

export interface Outcome {
  readonly check: Pick<Check<never>, 'name' | 'needs'>;
  readonly failure?: string;
}

/** Runs every check, even after one has failed. */
export async function runChecks<S>(site: S, checks: readonly Check<S>[]): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  for (const check of checks) {
    const failure = await check.run(site).then(
      () => undefined,
      (thrown: unknown) => errorText(thrown),
    );
    outcomes.push(failure === undefined ? { check } : { check, failure });
  }
  return outcomes;
}

/** Judges a run with `part` broken: lists checks that failed without needing it, or passed though they need it. Empty is right. */
export function judgeControl(part: string, outcomes: readonly Outcome[]): string[] {
  return outcomes.flatMap(({ check, failure }) => {
    const must = check.needs?.includes(part) === true;
    if (must === (failure !== undefined)) return [];
    return [must ? `${check.name}: passed without ${part}` : `${check.name}: failed for lack of ${part}: ${failure}`];
  });
}

/** Throws unless both are equal as JSON. */
export function same(what: string, got: unknown, want: unknown): void {
  const [one, other] = [JSON.stringify(got), JSON.stringify(want)];
  if (one !== other) throw new Error(`${what}: expected ${other}, got ${one}`);
}

export function holds(condition: boolean, otherwise: string): void {
  if (!condition) throw new Error(otherwise);
}
