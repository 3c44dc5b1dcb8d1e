// How long ADD and DEL take under load: with a fixed number of calls at once (a closed loop), and with pods that come and go at a
// fixed rate (an open loop: a slow call does not delay the next one, and a call's time counts from the moment it was due).

import { ratioOfFigures, summaryTable } from '../figures.ts';
import { type Figure, joinResults, type LinesPlot, type PartResult } from '../result.ts';
import { type Load, type LoadResult, measureLoad } from './burst-part.ts';
import { type CniBench, keyOf, WEFT } from './part.ts';
import type { Command } from './plan.ts';

const AT_ONCE = [1, 4, 16, 64] as const;
const QUICK_AT_ONCE = [64] as const;
/** A round has at least this many pods, also when fewer of them come at once. */
const FEWEST_PODS = 16;
/** Enough rounds for an interval of the ratio, which compares whole rounds. */
const ROUNDS = 10;
/** Pods a second. The Go plugins cannot do much more than the second rate. */
const RATES = [20, 100] as const;
const QUICK_RATES = [100] as const;
const PACED_PODS = 60;
const PACED_ROUNDS = 3;
/** Enough workers that no call has to wait for one, unless calls take longer than a second or so. */
const WORKERS = 48;

export async function benchLoad(bench: CniBench): Promise<PartResult> {
  const { quick } = bench.options;
  const results: PartResult[] = [];
  const levels = quick ? QUICK_AT_ONCE : AT_ONCE;
  for (const workers of levels) {
    const pods = Math.max(workers, FEWEST_PODS);
    const [group, what] = [`at-once/${workers}`, `${pods} pods, ${workers} at once`];
    results.push(await measureAtOnce(bench, { group, what, shape: { pods, workers }, rounds: quick ? 1 : ROUNDS }));
  }
  const rates = quick ? QUICK_RATES : RATES;
  for (const rate of rates) {
    const [group, what] = [`rate/${rate}`, `${rate} pods a second, from when each was due`];
    const shape = { pods: PACED_PODS, workers: WORKERS, everyMs: 1000 / rate };
    const load = { group, what, shape, rounds: quick ? 1 : PACED_ROUNDS };
    results.push(describeLoad(load, await measureLoad(bench, load)));
  }
  const joined = joinResults(results);
  const commands = levels.length < 2 ? [] : (['ADD', 'DEL'] as const);
  const byLevel = commands.map((command) => plotLevels(command, levels, joined.figures));
  return { ...joined, plots: [...joined.plots, ...byLevel] };
}

/** Measures each call's time, and compares how long whole rounds took until all of their pods were attached. */
async function measureAtOnce(bench: CniBench, load: Load): Promise<PartResult> {
  const measured = await measureLoad(bench, load);
  const result = describeLoad(load, measured);
  const rounds = measured.figures.map((each) => ({ ...each, role: 'detail' as const }));
  const ratios = measured.names
    .filter((name) => name !== WEFT)
    .map((name) => {
      const keys = { of: keyOf(load.group, 'ADD', WEFT), against: keyOf(load.group, 'ADD', name) };
      return ratioOfFigures(`${load.what} against ${name}`, rounds, keys);
    });
  return { ...result, figures: [...rounds, ...result.figures], ratios };
}

/** The result for the single calls: how long each pod waited. */
function describeLoad({ group, what }: Pick<Load, 'group' | 'what'>, { single, failures }: LoadResult): PartResult {
  const of = (command: Command): Figure[] => single.filter(({ key }) => key.startsWith(`${group}/${command}/`));
  const told = (['ADD', 'DEL'] as const).flatMap(of);
  return {
    figures: told.map((each) => ({ ...each, name: each.name.replace(', one of them', `, ${what}`) })),
    tables: [summaryTable(`each of ${what}`, told)],
    ratios: [],
    limits: [],
    failures,
    notes: [],
    plots: [{ kind: 'distribution', title: `ADD, ${what}`, figures: of('ADD').map(({ key }) => key) }],
    headline: [],
  };
}

function plotLevels(command: Command, levels: readonly number[], figures: readonly Figure[]): LinesPlot {
  const names = new Map(figures.map(({ key, name }) => [key.split('/')[3] ?? '', name.split(', ')[1] ?? '']));
  return {
    kind: 'lines',
    title: `${command} by how many at once`,
    x: { label: 'at once', log: true },
    y: { label: 'µs', log: true },
    series: [...names.values()].map((name) => ({
      name,
      points: levels.map((x) => ({ x, figure: `${keyOf(`at-once/${x}`, command, name)}/one` })),
    })),
  };
}
