// Many pods at once: 50, 8 at a time, as a node sees when a deployment starts on it; as many at a time as there are
// workers; and at a fixed rate, whatever became of those before.

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
/** Most that weft may take of what flannel's chain takes for all ADDs. */
const CHAIN_LIMIT = 0.28;

/** What is done how often, and how it is called. */
export interface Load {
  /** Before the figures' keys. */
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
  /** Whole bursts. */
  readonly figures: readonly Figure[];
  /** Their single calls. */
  readonly single: readonly Figure[];
  readonly failures: readonly string[];
  readonly names: readonly string[];
}

/** ADD and DEL of all variants under that load, interleaved. */
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
