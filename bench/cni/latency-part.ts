// ADD and DEL, one pod at a time.

import { judgeRatio, type Verdict } from '../limits.ts';
import { ratioOfMedians, summarize } from '../stats.ts';
import { table } from '../table.ts';
import {
  BRIDGE,
  CHAIN,
  type CniBench,
  comparedVariants,
  describeTrouble,
  FLOOR,
  measuringPlan,
  type PartResult,
  WEFT,
} from './part.ts';
import { type Command, pairSteps, type Variant } from './plan.ts';
import { runDriver } from './run-driver.ts';
import { collectSamples, foundStates, measured, type Samples, samplesOf } from './samples.ts';

const RUNS = 200;
const QUICK_RUNS = 40;
/** After a DEL the kernel works for up to 30 ms more, in which another DEL would wait. */
const PAUSE_MS = 60;

/** Most that weft's median may be of a reference's. */
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
  const names = compared.map(({ name }) => name);
  const head = ['runs', 'failed', 'p50', 'p90', 'p99', 'max'];
  const rows = (samples: readonly Samples[], command: Command): string[][] =>
    names.map((name) => row(`${command}  ${name}`, samplesOf(samples, name, command)));
  return {
    text: [
      table(
        [`µs, interleaved, ${PAUSE_MS} ms apart`, ...head],
        [...rows(busy.samples, 'ADD'), ...rows(busy.samples, 'DEL')],
      ),
      table(['µs for the first pod on a node', ...head], rows(empty.samples, 'ADD')),
    ].join('\n\n'),
    verdicts: verdicts(busy.samples, names),
    failures: [...busy.failures, ...empty.failures],
    raw: { samples: busy.samples, firstPod: empty.samples },
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
  const result = await runDriver(bench.driver, measuring.plan, label);
  return {
    samples: collectSamples(measuring, result),
    failures: [...describeTrouble(measuring.plan, result), ...stateDifferences(foundStates(measuring.plan, result))],
  };
}

export function row(name: string, samples: Samples): string[] {
  const values = measured(samples);
  const { p50, p90, p99, max } = summarize(values);
  const failed = samples.us.length - values.length;
  return [name, `${samples.us.length}`, `${failed}`, ...[p50, p90, p99, max].map((value) => value.toFixed(0))];
}

function verdicts(samples: readonly Samples[], names: readonly string[]): Verdict[] {
  return LIMITS.filter(([reference]) => names.includes(reference)).map(([reference, command, most]) => {
    const [ours, theirs] = [samplesOf(samples, WEFT, command), samplesOf(samples, reference, command)];
    return judgeRatio(`${command} against ${reference}`, ratioOfMedians(ours.us, theirs.us), most);
  });
}

/** What a reference leaves differently from weft: then the two did not do the same work. */
export function stateDifferences(states: ReadonlyMap<string, readonly string[]>): string[] {
  const ours = states.get(WEFT) ?? [];
  return [...states].flatMap(([name, theirs]) => {
    const only = (a: readonly string[], b: readonly string[]): string[] => a.filter((line) => !b.includes(line));
    const [extra, missing] = [only(theirs, ours), only(ours, theirs)];
    if (extra.length === 0 && missing.length === 0) return [];
    return [`${name} leaves another state than ${WEFT}: has [${extra.join(', ')}], lacks [${missing.join(', ')}]`];
  });
}
