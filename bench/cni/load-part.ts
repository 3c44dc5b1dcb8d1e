// What an ADD takes under load: with so many at once, and when pods arrive at a fixed rate (an open loop: a slow ADD
// does not hold back the next one, and every one's time counts from when it was due).

import { summaryTable } from '../figures.ts';
import { type Figure, joinResults, type LinesPlot, type PartResult } from '../result.ts';
import { measureLoad } from './burst-part.ts';
import { type CniBench, keyOf } from './part.ts';

const AT_ONCE = [1, 4, 16, 64] as const;
const QUICK_AT_ONCE = [64] as const;
const PODS = 64;
const ROUNDS = 4;
/** Pods a second. The Go plugins reach their end a little above the second one. */
const RATES = [20, 100] as const;
const QUICK_RATES = [100] as const;
const PACED_PODS = 60;
/** Enough that no call waits for a worker, unless they take seconds. */
const WORKERS = 48;

export async function benchLoad(bench: CniBench): Promise<PartResult> {
  const { quick } = bench.options;
  const rounds = quick ? 1 : ROUNDS;
  const results: PartResult[] = [];
  const levels = quick ? QUICK_AT_ONCE : AT_ONCE;
  for (const workers of levels) {
    const [group, what] = [`at-once/${workers}`, `${PODS} pods, ${workers} at once`];
    const shape = { pods: PODS, workers };
    results.push(await measure(bench, { group, what, shape, rounds }));
  }
  const rates = quick ? QUICK_RATES : RATES;
  for (const rate of rates) {
    const [group, what] = [`rate/${rate}`, `${rate} pods a second, from when each was due`];
    const shape = { pods: PACED_PODS, workers: WORKERS, everyMs: 1000 / rate };
    results.push(await measure(bench, { group, what, shape, rounds }));
  }
  const joined = joinResults(results);
  return { ...joined, plots: [...joined.plots, plotLevels(levels, joined.figures)] };
}

/** The single ADDs: how long each pod waited. */
async function measure(bench: CniBench, load: Parameters<typeof measureLoad>[1]): Promise<PartResult> {
  const { single, failures } = await measureLoad(bench, load);
  const adds = single.filter(({ key }) => key.startsWith(`${load.group}/ADD/`));
  const figures = adds.map((each) => ({ ...each, name: each.name.replace(', one of them', `, ${load.what}`) }));
  return {
    figures,
    tables: [summaryTable(`each of ${load.what}`, adds)],
    ratios: [],
    limits: [],
    failures,
    notes: [],
    plots: [{ kind: 'distribution', title: `ADD, ${load.what}`, figures: adds.map(({ key }) => key) }],
    headline: [],
  };
}

function plotLevels(levels: readonly number[], figures: readonly Figure[]): LinesPlot {
  const names = new Map(figures.map(({ key, name }) => [key.split('/')[3] ?? '', name.split(', ')[1] ?? '']));
  return {
    kind: 'lines',
    title: 'ADD by how many at once',
    x: { label: 'at once', log: true },
    y: { label: 'µs', log: true },
    series: [...names.values()].map((name) => ({
      name,
      points: levels.map((x) => ({ x, figure: `${keyOf(`at-once/${x}`, 'ADD', name)}/one` })),
    })),
  };
}
