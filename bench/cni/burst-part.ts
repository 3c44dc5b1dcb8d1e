// 50 pods, 8 at once: what a node sees when a deployment starts on it.

import { judgeRatio, type Verdict } from '../limits.ts';
import { ratioOfMedians, summarize } from '../stats.ts';
import { table } from '../table.ts';
import { row } from './latency-part.ts';
import {
  CHAIN,
  type CniBench,
  comparedVariants,
  describeTrouble,
  FLOOR,
  measuringPlan,
  type PartResult,
  WEFT,
} from './part.ts';
import { burstSteps } from './plan.ts';
import { runDriver } from './run-driver.ts';
import { collectSamples, samplesOf } from './samples.ts';

const PODS = 50;
const AT_ONCE = 8;
const ROUNDS = 15;
const QUICK_ROUNDS = 5;
const PAUSE_MS = 250;
/** Most that weft may take of what flannel's chain takes for all ADDs. */
const CHAIN_LIMIT = 0.28;

export async function benchBurst(bench: CniBench): Promise<PartResult> {
  const { options, driver } = bench;
  const rounds = options.quick ? QUICK_ROUNDS : ROUNDS;
  const compared = comparedVariants(bench);
  const steps = burstSteps(compared.length, rounds, { pods: PODS, workers: AT_ONCE, pauseMs: PAUSE_MS });
  const floor = compared.find(({ name }) => name === FLOOR);
  const measuring = measuringPlan(bench, { variants: compared, floor, resident: true, pods: PODS, steps });
  const result = await runDriver(driver, measuring.plan, `${PODS} pods, ${AT_ONCE} at once`);
  const samples = collectSamples(measuring, result);
  const names = compared.map(({ name }) => name);
  const rows = (['ADD', 'DEL'] as const).flatMap((command) =>
    names.map((name) => {
      const own = samplesOf(samples, name, command);
      const { p50, p99 } = summarize(own.each);
      return [...row(`${command}  ${name}`, own), p50.toFixed(0), p99.toFixed(0)];
    }),
  );
  const head = [`µs for ${PODS} pods, ${AT_ONCE} at once`, 'rounds', 'failed', 'p50', 'p90', 'p99', 'max', 'one p50'];
  const ratio = (reference: string): Verdict => {
    const [ours, theirs] = [samplesOf(samples, WEFT, 'ADD'), samplesOf(samples, reference, 'ADD')];
    return judgeRatio(`${PODS} pods against ${reference}`, ratioOfMedians(ours.us, theirs.us), CHAIN_LIMIT);
  };
  return {
    text: table([...head, 'one p99'], rows),
    verdicts: names.includes(CHAIN) ? [ratio(CHAIN)] : [],
    failures: describeTrouble(measuring.plan, result),
    raw: samples,
  };
}
