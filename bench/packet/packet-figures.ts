// Turns the measured pods into figures, tables and plots. Pure.

import { figure, ratioOfFigures, shown, summaryTable } from '../figures.ts';
import { showRatio } from '../limits.ts';
import type { Figure, PartResult, Plot, Table } from '../result.ts';
import { median } from '../stats.ts';
import type { Kind, PodSample } from './packet-rounds.ts';
import {
  type Disturbance,
  judgeDisturbance,
  POINTS,
  type SpanOwner,
  segmentFigures,
  spanFigures,
  spanMs,
} from './timeline.ts';

/** A variant in the report; Weft is the first. */
export interface Told {
  readonly key: string;
  readonly name: string;
}

const WEFT = 'weft';
const KIND_NAMES: Readonly<Record<Kind, string>> = { control: 'no sender', udp: 'UDP', icmp: 'ICMP', traced: 'traced' };

const VERDICTS: Readonly<Record<Disturbance['verdict'], string>> = {
  same: 'the same within noise',
  disturbed: 'DISTURBED: it changes what is measured',
  unclear: 'UNCLEAR: too noisy to tell whether it disturbs',
};

/** A first packet that waits this long waited for something that is retried once a second. */
const LONG_MS = 500;

/** A variant's pods in the order of the rounds, so that the n-th pods of two lists were measured in the same round. */
function podsOf(samples: readonly PodSample[], variant: string, kind: Kind): PodSample[] {
  return samples.filter((sample) => sample.variant === variant && sample.kind === kind);
}

/** Milliseconds of the ADD; NaN when it failed. */
const addMs = ({ timeline }: PodSample): number => spanMs(timeline, 't0', 't5');

/** Weft's figures have keys such as `udp/T7-T0`; other variants' begin with the variant's key: `floor/udp/T7-T0`. */
function ownerOf({ key, name }: Told, kind: Kind): SpanOwner {
  const own = key === WEFT;
  return {
    key: own ? kind : `${key}/${kind}`,
    name: `${name}, ${KIND_NAMES[kind]}`,
    role: own ? 'weft' : 'reference',
  };
}

export function describePods(samples: readonly PodSample[], variants: readonly Told[]): PartResult {
  const [weft = { key: WEFT, name: WEFT }, ...others] = variants;
  const timelines = (variant: string, kind: Kind) => podsOf(samples, variant, kind).map(({ timeline }) => timeline);
  const spans = (told: Told, kind: Kind) => spanFigures(ownerOf(told, kind), timelines(told.key, kind));
  const [udp, icmp] = [spans(weft, 'udp'), spans(weft, 'icmp')];
  const references = others.map((told) => spans(told, 'udp'));
  const segments = segmentFigures(ownerOf(weft, 'traced'), timelines(weft.key, 'traced'));
  const traced = segments.some((each) => each.samples.some((value) => value !== null)) ? segments : [];
  const adds = (['control', 'udp', 'icmp', 'traced'] as const).flatMap((kind): Figure[] => {
    const pods = podsOf(samples, weft.key, kind);
    const about = { key: `${kind}/ADD`, name: `ADD, ${KIND_NAMES[kind]}`, unit: 'ms', better: 'lower' } as const;
    return pods.length === 0 ? [] : [figure({ ...about, role: 'detail' }, pods.map(addMs))];
  });
  const figures = [...udp, ...icmp, ...references.flat(), ...traced, ...adds];
  const compared = ['T7-T0', 'T5-T0'].flatMap((key) => figures.filter((each) => isCompared(each.key, key, others)));
  return {
    figures,
    tables: [
      summaryTable('one pod after the other, UDP', udp),
      summaryTable('one pod after the other, ICMP', icmp),
      ...(others.length === 0 ? [] : [summaryTable('beside others, interleaved', compared)]),
      ...pointTables(samples, variants),
      summaryTable('ADD with', adds),
    ],
    ratios: ['T7-T0', 'T5-T0'].flatMap((span) =>
      others.map(({ key, name }) => {
        const what = span === 'T7-T0' ? 'T7−T0' : 'ADD in the lab';
        return ratioOfFigures(`${what} against ${name}`, figures, { of: `udp/${span}`, against: `${key}/udp/${span}` });
      }),
    ),
    limits: [],
    failures: describeFailures(samples, variants),
    notes: [...describeDisturbances(samples), ...describeLong(samples)],
    plots: plots(others, traced),
    headline: [{ name: 'T7−T0, runtime’s call to first packet delivered on another node', figure: 'udp/T7-T0' }],
  };
}

function isCompared(key: string, span: string, others: readonly Told[]): boolean {
  return key === `udp/${span}` || others.some((told) => key === `${told.key}/udp/${span}`);
}

/** Medians of the time from T0 to every point, a column for each variant. T1 to T4 come from traced pods, if there are any. */
function pointTables(samples: readonly PodSample[], variants: readonly Told[]): Table[] {
  if (samples.every(({ kind }) => kind !== 'traced')) return [];
  const columns = variants.map(({ key }) => {
    const traced = podsOf(samples, key, 'traced');
    return traced.length > 0 ? traced : podsOf(samples, key, 'udp');
  });
  const rows = POINTS.map(({ at, name }) => [
    name,
    ...columns.map((pods) => {
      const values = pods.map(({ timeline }) => spanMs(timeline, 't0', at)).filter((value) => !Number.isNaN(value));
      return shown(median(values));
    }),
  ]);
  const head = ['ms after T0, median', ...variants.map(({ name }) => name)];
  return [{ title: 'one timeline a pod, with the kernel’s trace on', head, rows, answers: true }];
}

function plots(others: readonly Told[], traced: readonly Figure[]): Plot[] {
  const firsts = ['udp/T7-T0', ...others.map(({ key }) => `${key}/udp/T7-T0`)];
  const stacked: Plot = {
    kind: 'stacked',
    title: 'From the runtime’s call to the first packet delivered, UDP',
    bar: 'pod',
    segments: traced.map(({ key, name }) => ({ name: name.split(',')[0] ?? name, figure: key })),
  };
  return [
    { kind: 'distribution', title: 'Runtime’s call to first packet delivered', figures: firsts },
    {
      kind: 'distribution',
      title: 'ADD with a sender in the pod and without',
      figures: ['control/ADD', 'udp/ADD', 'icmp/ADD'],
    },
    ...(traced.length === 0 ? [] : [stacked]),
  ];
}

function describeDisturbances(samples: readonly PodSample[]): string[] {
  const adds = (kind: Kind): number[] => podsOf(samples, WEFT, kind).map(addMs);
  const senders = (['udp', 'icmp'] as const).map((kind) => {
    const { ratio, verdict } = judgeDisturbance(adds(kind), adds('control'));
    return `ADD with ${KIND_NAMES[kind]} sender by ADD without: ${showRatio(ratio)}, ${VERDICTS[verdict]}`;
  });
  if (adds('traced').length === 0) return senders;
  const { ratio, verdict } = judgeDisturbance(adds('traced'), adds('udp'));
  const traced = `ADD with the trace on by ADD with it off: ${showRatio(ratio)}, ${VERDICTS[verdict]}`;
  return [...senders, `${traced}; it is off in all figures but T1 to T4`];
}

/** How often a first packet was sent too early, and how often it took so long that something must have been retried. */
function describeLong(samples: readonly PodSample[]): string[] {
  const own = samples.filter(({ variant, timeline }) => variant === WEFT && timeline.t7 !== undefined);
  const long = own.filter(({ timeline }) => spanMs(timeline, 't6', 't7') > LONG_MS).length;
  const known = own.filter(({ timeline }) => timeline.t4 !== undefined);
  const early = known.filter(({ timeline }) => spanMs(timeline, 't6', 't4') > 0).length;
  const traced =
    known.length === 0 ? '' : `; ${early} of ${known.length} traced ones left before the host side carried packets`;
  return [`${long} of ${own.length} first packets of weft’s pods took more than ${LONG_MS} ms${traced}`];
}

function describeFailures(samples: readonly PodSample[], variants: readonly Told[]): string[] {
  return samples.flatMap(({ variant, kind, round, failure }) => {
    if (failure === undefined) return [];
    const name = variants.find(({ key }) => key === variant)?.name ?? variant;
    return [`${name}, ${KIND_NAMES[kind]}, pod ${round + 1}: ${failure}`];
  });
}

/** What a first packet never waits for: the tunnel's own entries exist before any pod. `causes.ts` counts them. */
const NEVER_ASKED = ['VTEP neighbour: permanent, never asked for', 'FDB entry: permanent, never asked for'];

/** The causes of a first packet's delay: what each adds to a round trip in a known flow. */
export function causeTable(figures: readonly Figure[]): Table {
  const p50 = ({ samples }: Figure): number => median(samples.filter((value) => value !== null));
  const known = figures[0] === undefined ? Number.NaN : p50(figures[0]);
  const table = summaryTable('round trip of a first packet, one thing forgotten each time', figures);
  const measured = table.rows.map((row, index) => {
    const own = figures[index];
    return [...row, own === undefined || index === 0 ? '' : shown(p50(own) - known)];
  });
  const never = NEVER_ASKED.map((name) => [name, ...table.head.slice(1).map(() => ''), '0']);
  return { ...table, head: [...table.head, 'more'], rows: [...measured, ...never], answers: true };
}
