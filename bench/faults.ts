// What does a fault cost? The trials of `npm run suite -- faults`: packets that a flow of a thousand a second between pods on two nodes
// loses, and how long it takes until everything is repaired.

import { type Measured, runTrials, trials } from '../test/faults/trials.ts';
import { figure, shown } from './figures.ts';
import type { BenchOptions } from './options.ts';
import type { Progress } from './progress.ts';
import type { Figure, Part, PartResult, Plot } from './result.ts';
import { summarize } from './stats.ts';

/** `npm run suite -- faults` does ten rounds. The bench does fewer, to leave time for its other parts. */
const ROUNDS = 6;
const QUICK_ROUNDS = 3;
/** Only these faults are drawn: a plot of all of them would be unreadable. */
const DRAWN = ['route', 'masquerade table', 'device removed', 'device down', 'everything'];

export const faultsPart: Part = {
  name: 'faults',
  question: 'What does a fault cost?',
  seconds: { full: 240 },
  measure,
};

async function measure(options: BenchOptions, progress: Progress): Promise<PartResult> {
  if (process.getuid?.() !== 0) throw new Error('faults needs root: it makes network namespaces');
  const { quick, runs: rounds = quick ? QUICK_ROUNDS : ROUNDS } = options;
  const measured: Measured[] = [];
  const failures: string[] = [];
  let done = 0;
  progress.step('faults', done, trials.length);
  await runTrials(rounds, {
    tell() {
      done += 1;
      progress.step('faults', done, trials.length);
    },
    fail: (line) => failures.push(line),
    measured: (each) => measured.push(each),
  });
  return { ...describe(measured), failures };
}

function describe(measured: readonly Measured[]): Omit<PartResult, 'failures'> {
  const lost = measured.map((each) => figureOf(each, 'lost', 'packets'));
  const healed = measured.map((each) => figureOf(each, 'healed', 'ms'));
  return {
    figures: [...lost, ...healed],
    tables: [
      {
        title: 'a flow of a thousand packets a second, and what somebody or something does',
        head: ['', 'rounds', 'lost p50', 'worst', 'limit', 'right again ms p50', 'worst'],
        rows: measured.map(rowOf),
      },
    ],
    ratios: [],
    limits: [],
    notes: [],
    plots: plotsOf(measured),
    headline: [],
  };
}

function plotsOf(measured: readonly Measured[]): Plot[] {
  const drawn = DRAWN.filter((name) => measured.some((each) => each.name === name));
  const figures = drawn.map((name) => keyOf(name, 'healed'));
  return figures.length === 0 ? [] : [{ kind: 'distribution', title: 'Until everything is right again', figures }];
}

function rowOf({ what, limit, rounds }: Measured): string[] {
  const [lost, healed] = [summarize(rounds.map((each) => each.lost)), summarize(rounds.map((each) => each.healedMs))];
  return [what, `${lost.count}`, `${lost.p50}`, `${lost.max}`, `${limit}`, shown(healed.p50), shown(healed.max)];
}

function keyOf(name: string, of: 'lost' | 'healed'): string {
  return `${name.replaceAll(' ', '-')}/${of}`;
}

function figureOf({ name, what, rounds }: Measured, of: 'lost' | 'healed', unit: string): Figure {
  const values = rounds.map((round) => (of === 'lost' ? round.lost : round.healedMs));
  return figure({ key: keyOf(name, of), name: what, unit, better: 'lower', role: 'weft' }, values);
}
