// 50 pods, 8 at once: what a node sees when a deployment starts on it.

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
import { burstSteps } from './plan.ts';
import { runDriver } from './run-driver.ts';
import { collectSamples } from './samples.ts';

const PODS = 50;
const AT_ONCE = 8;
const ROUNDS = 15;
const QUICK_ROUNDS = 5;
const PAUSE_MS = 250;
const GROUP = 'burst';
/** Most that weft may take of what flannel's chain takes for all ADDs. */
const CHAIN_LIMIT = 0.28;

export async function benchBurst(bench: CniBench): Promise<PartResult> {
  const { options } = bench;
  const rounds = options.quick ? QUICK_ROUNDS : ROUNDS;
  const compared = comparedVariants(bench);
  const steps = burstSteps(compared.length, rounds, { pods: PODS, workers: AT_ONCE, pauseMs: PAUSE_MS });
  const floor = compared.find(({ name }) => name === FLOOR);
  const measuring = measuringPlan(bench, { variants: compared, floor, resident: true, pods: PODS, steps });
  const result = await runDriver(bench, measuring.plan, `${PODS} pods, ${AT_ONCE} at once`);
  const samples = collectSamples(measuring, result);
  const figures = figuresOf(GROUP, samples);
  const single = samples.map(({ variant, command, each }): Figure => {
    const key = `${keyOf(GROUP, command, variant)}/one`;
    const name = `${command}, ${variant}, one of them`;
    return figure({ key, name, unit: 'µs', better: 'lower', role: 'detail' }, each);
  });
  const others = compared.filter(({ name }) => name !== WEFT);
  const ours = keyOf(GROUP, 'ADD', WEFT);
  const plotted = compared.map(({ name }) => `${keyOf(GROUP, 'ADD', name)}/one`);
  return {
    figures: [...figures, ...single],
    tables: [summaryTable(`${PODS} pods, ${AT_ONCE} at once`, [...figures, ...single])],
    ratios: others.map(({ name }) => {
      const keys = { of: ours, against: keyOf(GROUP, 'ADD', name) };
      return ratioOfFigures(`${PODS} pods against ${name}`, figures, keys, name === CHAIN ? { most: CHAIN_LIMIT } : {});
    }),
    limits: [],
    failures: describeTrouble(measuring.plan, result),
    notes: [],
    plots: [{ kind: 'distribution', title: `ADD of one of ${PODS} pods, ${AT_ONCE} at once`, figures: plotted }],
    headline: [{ name: `ADD, ${PODS} pods, ${AT_ONCE} at once`, figure: ours }],
  };
}
