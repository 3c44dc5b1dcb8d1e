// One pod from the runtime's call to the answer of another pod, and what is told of many of them. All times are
// nanoseconds of CLOCK_MONOTONIC.

import { figure } from '../figures.ts';
import type { Figure } from '../result.ts';
import { type Ratio, ratioOfMedians } from '../stats.ts';

export interface Timeline {
  /** The runtime executes the first plugin. */
  readonly t0?: number | undefined;
  /** The plugin runs; t1 to t4 only where the kernel's trace was on, see bench/trace/milestones.ts. */
  readonly t1?: number | undefined;
  /** Its address is allocated. */
  readonly t2?: number | undefined;
  /** The interface is up in the pod. */
  readonly t3?: number | undefined;
  /** The host side carries packets. */
  readonly t4?: number | undefined;
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
] as const satisfies readonly Span[];
const COMPARED: readonly string[] = ['T7-T0', 'T5-T0'];

interface Span {
  readonly key: string;
  readonly name: string;
  readonly from: keyof Timeline;
  readonly to: keyof Timeline;
}

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

/** Whose pods a span is told of. */
export interface SpanOwner {
  /** Before the span's in the key: `udp`. */
  readonly key: string;
  readonly name: string;
  readonly role: Figure['role'];
}

/** Milliseconds of every span, one a pod; those of a pod that was not reached are failed. */
export function spanFigures(owner: SpanOwner, timelines: readonly Timeline[]): Figure[] {
  return SPANS.map((span) => spanFigure(owner, span, timelines));
}

function spanFigure(
  { key: prefix, name: whose, role }: SpanOwner,
  { key, name, from, to }: Span,
  timelines: readonly Timeline[],
): Figure {
  const values = timelines.map((each) => (failureOf(each) === undefined ? spanMs(each, from, to) : Number.NaN));
  const about = { key: `${prefix}/${key}`, name: `${name}, ${whose}`, unit: 'ms', better: 'lower' } as const;
  // What is compared is the whole; the rest says where it went.
  return figure({ ...about, role: COMPARED.includes(key) ? role : 'detail' }, values);
}

/** The points of a timeline, in the order of a weft ADD. */
export const POINTS = [
  { at: 't1', name: 'T1 the plugin runs' },
  { at: 't2', name: 'T2 address allocated' },
  { at: 't3', name: 'T3 interface up in the pod' },
  { at: 't6', name: 'T6 first packet leaves the pod' },
  { at: 't4', name: 'T4 host side carries packets' },
  { at: 't7', name: 'T7 first packet delivered' },
  { at: 't5', name: 'T5 ADD returns' },
  { at: 't8', name: 'T8 answer back' },
] as const satisfies readonly { at: keyof Timeline; name: string }[];

/** The parts of T7−T0 for a plugin that allocates before it makes the interface, as weft does: none is negative. */
const SEGMENTS: readonly Span[] = [
  { key: 'T1-T0', name: 'T1−T0 start of the plugin', from: 't0', to: 't1' },
  { key: 'T2-T1', name: 'T2−T1 to the address', from: 't1', to: 't2' },
  { key: 'T3-T2', name: 'T3−T2 to the interface', from: 't2', to: 't3' },
  { key: 'T6-T3', name: 'T6−T3 to the first packet sent', from: 't3', to: 't6' },
  { key: 'T7-T6', name: 'T7−T6 to the first packet delivered', from: 't6', to: 't7' },
];

export function segmentFigures(owner: SpanOwner, timelines: readonly Timeline[]): Figure[] {
  return SEGMENTS.map((segment) => spanFigure(owner, segment, timelines));
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
