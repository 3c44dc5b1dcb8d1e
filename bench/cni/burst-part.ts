// Many pods at once: 50 pods, 8 at a time, as on a node on which a deployment starts. Other parts use `measureLoad` for other
// numbers at a time, and for a fixed rate that does not wait for earlier calls to end.

import { figure, ratioOfFigures, summaryTable } from '../figures.ts';
import type { Figure, PartResult } from '../result.ts';
import {
  CHAIN,
  type CniBench,
  comparedVariants,
  describeTrouble,
  FLOOR,
  figuresOf,
  keyOf,
  measuringPlan,
  WEFT,
} from './part.ts';
import { type BurstShape, burstSteps } from './plan.ts';
import { runDriver } from './run-driver.ts';
import { collectSamples } from './samples.ts';

const PAUSE_MS = 250;
const ROUNDS = 15;
const QUICK_ROUNDS = 3;
/** The most time Weft may take for all ADDs, as a share of what flannel's chain takes. */
const CHAIN_LIMIT = 0.28;

/** A load: how many pods, how many at once, how many rounds, and what it is called. */
export interface Load {
  /** The first part of the figures' keys. */
  readonly group: string;
  readonly what: string;
  readonly shape: Omit<BurstShape, 'pauseMs'>;
  readonly rounds: number;
}

export async function benchBurst(bench: CniBench): Promise<PartResult> {
  const rounds = bench.options.quick ? QUICK_ROUNDS : ROUNDS;
  const load: Load = {
    group: 'burst',
    what: '50 pods, 8 at once',
    shape: { pods: 50, workers: 8 },
    rounds,
  };
  const { figures, single, failures, names } = await measureLoad(bench, load);
  const ours = keyOf(load.group, 'ADD', WEFT);
  return {
    figures: [...figures, ...single],
    tables: [summaryTable(load.what, [...figures, ...single])],
    ratios: names
      .filter((name) => name !== WEFT)
      .map((name) => {
        const keys = { of: ours, against: keyOf(load.group, 'ADD', name) };
        return ratioOfFigures(`50 pods against ${name}`, figures, keys, name === CHAIN ? { most: CHAIN_LIMIT } : {});
      }),
    limits: [],
    failures,
    notes: [],
    plots: [
      {
        kind: 'distribution',
        title: `ADD of one of ${load.what}`,
        figures: single.filter(({ key }) => key.startsWith(`${load.group}/ADD/`)).map(({ key }) => key),
      },
    ],
    headline: [{ name: `ADD, ${load.what}`, figure: ours }],
  };
}

export interface LoadResult {
  /** Times of whole bursts. */
  readonly figures: readonly Figure[];
  /** Times of the single calls in the bursts. */
  readonly single: readonly Figure[];
  readonly failures: readonly string[];
  readonly names: readonly string[];
}

/** Measures ADD and DEL of all variants under that load, in turns. */
export async function measureLoad(bench: CniBench, { group, what, shape, rounds }: Load): Promise<LoadResult> {
  const compared = comparedVariants(bench);
  const steps = burstSteps(compared.length, rounds, { ...shape, pauseMs: PAUSE_MS });
  const floor = compared.find(({ name }) => name === FLOOR);
  const measuring = measuringPlan(bench, { variants: compared, floor, resident: true, pods: shape.pods, steps });
  const result = await runDriver(bench, measuring.plan, what);
  const samples = collectSamples(measuring, result);
  const single = samples.map(({ variant, command, each }): Figure => {
    const key = `${keyOf(group, command, variant)}/one`;
    const name = `${command}, ${variant}, one of them`;
    return figure({ key, name, unit: 'µs', better: 'lower', role: 'detail' }, each);
  });
  return {
    figures: figuresOf(group, samples),
    single,
    failures: describeTrouble(measuring.plan, result),
    names: compared.map(({ name }) => name),
  };
}
