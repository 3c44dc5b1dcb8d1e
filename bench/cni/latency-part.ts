// ADD and DEL, one pod at a time.

import { ratioOfFigures, summaryTable } from '../figures.ts';
import type { Figure, PartResult, RatioOfFigures } from '../result.ts';
import {
  BRIDGE,
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
import { type Command, pairSteps, type Variant } from './plan.ts';
import { runDriver } from './run-driver.ts';
import { collectSamples, foundStates, type Samples } from './samples.ts';

const RUNS = 200;
const QUICK_RUNS = 15;
/** After a DEL the kernel still works for up to 30 ms, and another DEL in that time would have to wait for it. */
const PAUSE_MS = 60;
const GROUP = 'latency';

/** The most that Weft's median may be as a share of a reference's. */
const LIMITS: readonly (readonly [reference: string, command: Command, most: number])[] = [
  [CHAIN, 'ADD', 0.28],
  [CHAIN, 'DEL', 0.12],
  [BRIDGE, 'ADD', 0.38],
  [BRIDGE, 'DEL', 0.14],
  [FLOOR, 'ADD', 1.6],
];

export async function benchLatency(bench: CniBench): Promise<PartResult> {
  const { quick, runs = quick ? QUICK_RUNS : RUNS } = bench.options;
  const compared = comparedVariants(bench);
  const busy = await measure(bench, compared, { runs, resident: true });
  const empty = await measure(bench, compared, { runs: Math.ceil(runs / 4), resident: false });
  const figures = figuresOf(GROUP, busy.samples);
  const first = figuresOf('first', empty.samples).filter(({ key }) => key.startsWith('first/ADD/'));
  const of = (command: Command): Figure[] => figures.filter(({ key }) => key.startsWith(`${GROUP}/${command}/`));
  const names = compared.map(({ name }) => name);
  return {
    figures: [...figures, ...first],
    tables: [
      summaryTable(`one pod at a time, interleaved, ${PAUSE_MS} ms apart`, [...of('ADD'), ...of('DEL')]),
      summaryTable('the first pod on a node', first),
    ],
    ratios: ratios(figures, names),
    limits: [],
    failures: [...busy.failures, ...empty.failures],
    notes: [],
    plots: [
      { kind: 'distribution', title: 'ADD, one pod at a time', figures: of('ADD').map(({ key }) => key) },
      { kind: 'distribution', title: 'DEL, one pod at a time', figures: of('DEL').map(({ key }) => key) },
      { kind: 'distribution', title: 'ADD of the first pod on a node', figures: first.map(({ key }) => key) },
    ],
    headline: (['ADD', 'DEL'] as const).map((command) => ({
      name: `${command}, one pod`,
      figure: keyOf(GROUP, command, WEFT),
    })),
  };
}

async function measure(
  bench: CniBench,
  variants: readonly Variant[],
  { runs, resident }: { runs: number; resident: boolean },
): Promise<{ samples: Samples[]; failures: string[] }> {
  const floor = variants.find(({ name }) => name === FLOOR);
  const steps = pairSteps(variants.length, runs, PAUSE_MS);
  const measuring = measuringPlan(bench, { variants, floor, resident, pods: variants.length, steps });
  const label = resident ? 'ADD and DEL' : 'ADD of a first pod';
  const result = await runDriver(bench, measuring.plan, label);
  return {
    samples: collectSamples(measuring, result),
    failures: [...describeTrouble(measuring.plan, result), ...stateDifferences(foundStates(measuring.plan, result))],
  };
}

function ratios(figures: readonly Figure[], names: readonly string[]): RatioOfFigures[] {
  return (['ADD', 'DEL'] as const).flatMap((command) =>
    names
      .filter((name) => name !== WEFT)
      .map((name) => {
        const most = LIMITS.find(([reference, of]) => reference === name && of === command)?.[2];
        const keys = { of: keyOf(GROUP, command, WEFT), against: keyOf(GROUP, command, name) };
        return ratioOfFigures(`${command} against ${name}`, figures, keys, most === undefined ? {} : { most });
      }),
  );
}

/** Where the state after a reference's ADD differs from that after Weft's, because then the two did different work. */
export function stateDifferences(states: ReadonlyMap<string, readonly string[]>): string[] {
  const ours = states.get(WEFT) ?? [];
  return [...states].flatMap(([name, theirs]) => {
    const only = (a: readonly string[], b: readonly string[]): string[] => a.filter((line) => !b.includes(line));
    const [extra, missing] = [only(theirs, ours), only(ours, theirs)];
    if (extra.length === 0 && missing.length === 0) return [];
    return [`${name} leaves another state than ${WEFT}: has [${extra.join(', ')}], lacks [${missing.join(', ')}]`];
  });
}
