// One pod from the runtime's call to the answer of another pod, and what is told of many of them. All times are
// nanoseconds of CLOCK_MONOTONIC.

import { figure } from '../figures.ts';
import type { Figure } from '../result.ts';
import { type Ratio, ratioOfMedians } from '../stats.ts';

export interface Timeline {
  /** The runtime executes the first plugin. */
  readonly t0?: number | undefined;
  /** The last plugin has ended: ADD returns. */
  readonly t5?: number | undefined;
  /** The kernel takes the first packet of the new pod. */
  readonly t6?: number | undefined;
  /** The first one is delivered in a pod on the other node. */
  readonly t7?: number | undefined;
  /** The first answer is back. */
  readonly t8?: number | undefined;
}

/** Between which points, in the order they are shown. */
const SPANS = [
  { key: 'T7-T0', name: 'T7−T0 runtime’s call to first packet delivered', from: 't0', to: 't7' },
  { key: 'T7-T5', name: 'T7−T5 ADD returned to first packet delivered', from: 't5', to: 't7' },
  { key: 'T5-T0', name: 'T5−T0 ADD', from: 't0', to: 't5' },
  { key: 'T6-T0', name: 'T6−T0 runtime’s call to first packet sent', from: 't0', to: 't6' },
  { key: 'T7-T6', name: 'T7−T6 first packet sent to first delivered', from: 't6', to: 't7' },
  { key: 'T8-T7', name: 'T8−T7 delivered to answered', from: 't7', to: 't8' },
] as const satisfies readonly { key: string; name: string; from: keyof Timeline; to: keyof Timeline }[];

/** Milliseconds between two points; NaN when one of them was not reached. */
export function spanMs(timeline: Timeline, from: keyof Timeline, to: keyof Timeline): number {
  return ((timeline[to] ?? Number.NaN) - (timeline[from] ?? Number.NaN)) / 1e6;
}

/** Why this timeline is none of a pod that was reached; undefined when it is. */
export function failureOf({ t0, t5, t6, t7, t8 }: Timeline): string | undefined {
  if (t0 === undefined || t5 === undefined) return 'ADD did not return';
  if (t6 === undefined) return 'no packet left the pod';
  if (t7 === undefined) return 'no packet was delivered';
  if (t8 === undefined) return 'no answer came back';
  if (t0 > t5) return 'ADD returned before it was called: the clocks differ';
  if (t6 > t7 || t7 > t8) return 'a packet was delivered before it was sent, or answered before: the clocks differ';
  return undefined;
}

/** Milliseconds of every span, one a pod; those of a pod that was not reached are failed. */
export function spanFigures(kind: string, timelines: readonly Timeline[]): Figure[] {
  return SPANS.map(({ key, name, from, to }) => {
    const values = timelines.map((each) => (failureOf(each) === undefined ? spanMs(each, from, to) : Number.NaN));
    return figure({ key: `${kind}/${key}`, name, unit: 'ms', better: 'lower', role: 'weft' }, values);
  });
}

/** Medians that differ by less are taken for the same. */
const TOLERANCE = 0.05;
/** An interval wider than this on either side shows nothing: neither that they differ nor that they do not. */
const WIDEST = 1.25;

export interface Disturbance {
  /** ADD with a sender in the pod by ADD without. */
  readonly ratio: Ratio;
  readonly verdict: 'same' | 'disturbed' | 'unclear';
}

/**
 * Whether the senders changed what they measure: milliseconds of ADD with and without one, interleaved. They did when
 * the interval of the ratio leaves 1 out and the ratio is more than 5 % off; what is too noisy to tell is unclear.
 */
export function judgeDisturbance(withSender: readonly number[], without: readonly number[]): Disturbance {
  const ratio = ratioOfMedians(withSender, without);
  const { value, low, high } = ratio;
  if ((low > 1 || high < 1) && Math.abs(value - 1) > TOLERANCE) return { ratio, verdict: 'disturbed' };
  return { ratio, verdict: low >= 1 / WIDEST && high <= WIDEST ? 'same' : 'unclear' };
}
