// Turns the measurements of agents with and without probes into the part's result.

import { figure, shown } from '../figures.ts';
import { withInterval } from '../limits.ts';
import type { Figure, PartResult } from '../result.ts';
import { mean, median, medianWithInterval, type Ratio } from '../stats.ts';
import { MODES, type Mode, type Outcome, type Window } from './side-by-side.ts';

/** The most processor time that probes may take, in ms a second, and the most packets a second. */
export const PROBES_PROCESSOR_LIMIT = 5;
const PACKETS_LIMIT = 50;

export type Samples = Readonly<Record<Mode, readonly Window[]>>;

interface Measure {
  readonly name: string;
  readonly unit: string;
  readonly most: number;
  of(window: Window): number;
}

const MEASURES = {
  processor: {
    name: 'processor time of the agent',
    unit: 'ms/s',
    most: PROBES_PROCESSOR_LIMIT,
    of: ({ processorMsPerSec }) => processorMsPerSec,
  },
  packets: {
    name: 'packets of the underlay device, in and out',
    unit: 'packets/s',
    most: PACKETS_LIMIT,
    of: ({ packetsPerSec }) => packetsPerSec,
  },
} satisfies Readonly<Record<string, Measure>>;

/** `nodes`: the number of Nodes in the cluster. The n-th windows of both modes are at the same time. */
export function describeProbes(nodes: number, samples: Samples, outcomes: readonly Outcome[]): PartResult {
  const measures: readonly [string, Measure][] = Object.entries(MEASURES);
  const figures = measures.flatMap(([what, measure]) => MODES.map((mode) => figureOf(what, measure, mode, samples)));
  const differences = measures.map(([, { of }]) => differencesOf(samples, of));
  const medians = differences.map(medianWithInterval);
  return {
    figures,
    tables: [
      {
        title: `${nodes} Nodes; medians of the windows, and of the difference in a window with its 95 % interval`,
        head: ['', 'with probes', '--probes=off', 'difference', 'mean difference'],
        rows: measures.map(([, { name, unit, of }], at) => [
          `${name}, ${unit}`,
          ...MODES.map((mode) => shown(median(samples[mode].map(of)))),
          withInterval(medians[at] ?? none, 1),
          shown(mean(differences[at] ?? [])),
        ]),
        answers: true,
      },
    ],
    ratios: [],
    limits: measures.map(([, { name, unit, most }], at) => ({
      name: `what probes add among ${nodes} Nodes: ${name}`,
      value: (medians[at] ?? none).value,
      most,
      unit,
    })),
    failures: outcomes.flatMap(failuresOf),
    notes: outcomes.map(({ states }) => `peers as the probes had found them at the end: ${spell(states)}`),
    plots: [],
    headline: [],
  };
}

const none: Ratio = { value: Number.NaN, low: Number.NaN, high: Number.NaN };

function figureOf(what: string, { name, unit, of }: Measure, mode: Mode, samples: Samples): Figure {
  const role = mode === 'on' ? 'weft' : 'reference';
  const about = {
    key: `probes/${what}/${mode}`,
    name: `${name}, --probes=${mode}`,
    unit,
    better: 'lower',
    role,
  } as const;
  return figure(about, samples[mode].map(of));
}

/**
 * What probes add in each window. The median is judged, because the check of all peers once a minute falls into different windows of the
 * two agents. The mean, which is shown as well, includes these checks for both.
 */
function differencesOf({ on, off }: Samples, of: (window: Window) => number): number[] {
  return on.map((window, at) => of(window) - (off[at] === undefined ? Number.NaN : of(off[at])));
}

/** Probes that are not answered cost something else than this part measures, so they make it fail. */
function failuresOf({ states, findings }: Outcome): string[] {
  const { reachable = 0, degraded = 0, unreachable = 0 } = states;
  if (reachable > 0 && degraded + unreachable === 0) return [];
  return [`not every probe was answered: ${[spell(states), ...findings].join('; ')}`];
}

function spell(states: Outcome['states']): string {
  return Object.entries(states)
    .map(([state, count]) => `${count} ${state}`)
    .join(', ');
}
