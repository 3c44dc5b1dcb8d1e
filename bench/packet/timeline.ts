// The timeline of one pod, from the runtime's call to the answer of another pod, and the figures made from many timelines. All times
// are nanoseconds of CLOCK_MONOTONIC.

import { figure } from '../figures.ts';
import type { Figure } from '../result.ts';
import { type Ratio, ratioOfMedians } from '../stats.ts';

export interface Timeline {
  /** The runtime executes the first plugin. */
  readonly t0?: number | undefined;
  /** The plugin runs. t1 to t4 are known only where the kernel's trace was on: see bench/trace/milestones.ts. */
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

/** The spans, each between two points, in the order in which they are shown. */
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

/** Why the timeline's pod was not reached; undefined when it was reached. */
export function failureOf({ t0, t5, t6, t7, t8 }: Timeline): string | undefined {
  if (t0 === undefined || t5 === undefined) return 'ADD did not return';
  if (t6 === undefined) return 'no packet left the pod';
  if (t7 === undefined) return 'no packet was delivered';
  if (t8 === undefined) return 'no answer came back';
  if (t0 > t5) return 'ADD returned before it was called: the clocks differ';
  if (t6 > t7 || t7 > t8) return 'a packet was delivered before it was sent, or answered before: the clocks differ';
  return undefined;
}

/** The pods that a span's figure is about. */
export interface SpanOwner {
  /** The first part of the figure's key, such as `udp`. */
  readonly key: string;
  readonly name: string;
  readonly role: Figure['role'];
}

/** A figure for every span, with one sample in milliseconds for each pod. A pod that was not reached is a failed sample. */
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
  // Only whole spans are compared with other variants; the others show where the time went.
  return figure({ ...about, role: COMPARED.includes(key) ? role : 'detail' }, values);
}

/** The points of a timeline. In a Weft ADD the first packet leaves (T6) and arrives (T7) before ADD returns (T5). */
export const POINTS = [
  { at: 't1', name: 'T1 the plugin runs' },
  { at: 't2', name: 'T2 address allocated' },
  { at: 't3', name: 'T3 interface up in the pod' },
  { at: 't4', name: 'T4 host side carries packets' },
  { at: 't5', name: 'T5 ADD returns' },
  { at: 't6', name: 'T6 first packet leaves the pod' },
  { at: 't7', name: 'T7 first packet delivered' },
  { at: 't8', name: 'T8 answer back' },
] as const satisfies readonly { at: keyof Timeline; name: string }[];

/** The segments of T7−T0 for a plugin that, as Weft does, allocates before it creates the interface. So none is negative. */
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

/** Medians that differ by less than this share count as equal. */
const TOLERANCE = 0.05;
/** With an interval wider than this on either side, it stays unclear whether the two differ. */
const WIDEST = 1.25;

export interface Disturbance {
  /** ADD with a sender in the pod, divided by ADD without one. */
  readonly ratio: Ratio;
  readonly verdict: 'same' | 'disturbed' | 'unclear';
}

/**
 * Whether the senders changed what they measure. Compares milliseconds of ADD with and without a sender, measured in turns. They did when
 * the ratio is more than 5 % from 1 and its interval does not contain 1. If the ratio is too noisy, it is unclear.
 */
export function judgeDisturbance(withSender: readonly number[], without: readonly number[]): Disturbance {
  const ratio = ratioOfMedians(withSender, without);
  const { value, low, high } = ratio;
  if ((low > 1 || high < 1) && Math.abs(value - 1) > TOLERANCE) return { ratio, verdict: 'disturbed' };
  return { ratio, verdict: low >= 1 / WIDEST && high <= WIDEST ? 'same' : 'unclear' };
}
