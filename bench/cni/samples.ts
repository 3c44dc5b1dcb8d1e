// Sorts the results of a plan by what was measured. Samples keep the order of the rounds, so that a round is compared with itself.

import type { Command, Plan, PlanResult, Step, StepResult } from './plan.ts';

/** Everything measured of one variant and command, in the order of the rounds. */
export interface Samples {
  readonly variant: string;
  readonly command: Command;
  /** Microseconds; NaN where a call failed. */
  readonly us: readonly number[];
  readonly failures: readonly string[];
  /** For bursts, the microseconds of the single calls. */
  readonly each: readonly number[];
}

/**
 * Sorts the results of calls and bursts by variant and command, for the steps `from` up to `to`. Throws unless there are as
 * many results as steps.
 */
export function collectSamples(
  { plan, from, to }: { readonly plan: Plan; readonly from: number; readonly to: number },
  { results }: PlanResult,
): Samples[] {
  if (results.length !== plan.steps.length) throw new Error(`${results.length} results of ${plan.steps.length} steps`);
  const found = new Map<string, { us: number[]; failures: string[]; each: number[] }>();
  plan.steps.forEach((step, index) => {
    const result = results[index];
    if (index < from || index >= to || step.kind === 'inspect' || result === undefined) return;
    const key = keyOf(plan, step);
    const samples = found.get(key) ?? { us: [], failures: [], each: [] };
    found.set(key, samples);
    samples.us.push(result.failures.length === 0 ? result.us : Number.NaN);
    samples.failures.push(...result.failures);
    samples.each.push(...(result.each ?? []));
  });
  return [...found].map(([key, samples]) => {
    const [variant = '', command] = key.split('\0');
    return { variant, command: command as Command, ...samples };
  });
}

function keyOf(plan: Plan, step: Exclude<Step, { kind: 'inspect' }>): string {
  return `${plan.variants[step.variant]?.name}\0${step.command}`;
}

/** The samples of one variant and command. Throws when there are none. */
export function samplesOf(all: readonly Samples[], variant: string, command: Command): Samples {
  const found = all.find((samples) => samples.variant === variant && samples.command === command);
  if (found === undefined) throw new Error(`no samples of ${command} by ${variant}`);
  return found;
}

/** Values that are not failures. */
export function measured({ us }: Samples): number[] {
  return us.filter((value) => !Number.isNaN(value));
}

/** What the inspections found, by variant: for each variant the last one. */
export function foundStates(plan: Plan, { results }: PlanResult): ReadonlyMap<string, readonly string[]> {
  const states = new Map<string, readonly string[]>();
  plan.steps.forEach((step, index) => {
    const result: StepResult | undefined = results[index];
    const name = plan.variants[step.variant]?.name;
    if (step.kind === 'inspect' && result?.found !== undefined && name !== undefined) states.set(name, result.found);
  });
  return states;
}
