// Turns runs of agents into figures and ratios: one figure for each agent, number of Nodes, and kind of measurement.

import { figure, ratioOfFigures, shown } from '../figures.ts';
import { PROBES_PROCESSOR_LIMIT } from '../probes/probes-figures.ts';
import {
  type Figure,
  type PartResult,
  type RatioOfFigures,
  samplesOfFigure,
  type Table,
  type ValueLimit,
} from '../result.ts';
import { median } from '../stats.ts';
import type { AgentKey, Run } from './agents.ts';

export const FEW = 1000;
export const MANY = 5000;
/** The most memory the agent may take with 1000 peers, in MB. */
const MEMORY_LIMIT_MB = 65;
/** The most processor time the agent may take while 5000 Nodes change, in ms a second, without probes. flannel, in Go, takes one or two. */
const PROCESSOR_LIMIT = 10;
/** The most processor time for the start with 1000 Nodes, relative to flannel's: starting the JavaScript engine outweighs the rest. */
const FEW_START_LIMIT = 1.2;

/** The runs of each agent, in the order of the rounds; undefined for a run that failed. */
export type Runs = Readonly<Record<AgentKey, (Run | undefined)[]>>;

interface Measure {
  readonly name: string;
  readonly unit: string;
  of(run: Run, count: number): number;
}

const MEASURES = {
  programmed: { name: 'start until every peer is programmed', unit: 'ms', of: (run) => run.programmedMs },
  'start-processor': { name: 'processor for it', unit: 'ms', of: (run) => run.startProcessorMs },
  'start-received': {
    name: 'received for it per 1000 Nodes',
    unit: 'MB',
    of: (run, count) => run.startBytes / 1e6 / (count / 1000),
  },
  peak: { name: 'largest resident memory', unit: 'MB', of: (run) => run.peakMb },
  resident: { name: 'resident memory, then', unit: 'MB', of: (run) => run.residentMb },
  anonymous: { name: 'of it anonymous', unit: 'MB', of: (run) => run.anonymousMb },
  processor: { name: 'processor while Nodes change', unit: 'ms/s', of: (run) => run.processorMsPerSec },
  received: { name: 'received while Nodes change', unit: 'kB/s', of: (run) => run.bytesPerSec / 1000 },
} satisfies Readonly<Record<string, Measure>>;

type MeasureKey = keyof typeof MEASURES;
const KEYS = Object.keys(MEASURES) as MeasureKey[];
export const NAMES: Readonly<Record<AgentKey, string>> = {
  weft: 'weft',
  silent: 'weft, --probes=off',
  flannel: 'flanneld',
};
const AGENTS = Object.keys(NAMES) as AgentKey[];

const keyOf = (count: number, what: MeasureKey, agent: AgentKey): string => `${count}/${what}/${agent}`;

/** The part's result. `notes` also name runs that failed. */
export function describeRuns(byCount: ReadonlyMap<number, Runs>, notes: readonly string[]): PartResult {
  const counts = [...byCount.keys()];
  const figures = [...byCount].flatMap(([count, runs]) => figuresOf(count, runs));
  const isCompared = [...byCount.values()].some(({ flannel }) => flannel.length > 0);
  return {
    figures,
    tables: counts.map((count) => tableOf(count, figures)),
    ratios: isCompared ? counts.flatMap((count) => ratiosOf(count, figures)) : [],
    limits: [
      ...limitOf(figures, 'weft', { count: FEW, what: 'resident', most: MEMORY_LIMIT_MB }),
      ...limitOf(figures, 'silent', { count: MANY, what: 'processor', most: PROCESSOR_LIMIT }),
      ...limitOf(figures, 'weft', { count: MANY, what: 'processor', most: PROCESSOR_LIMIT + PROBES_PROCESSOR_LIMIT }),
    ],
    failures: [...byCount].flatMap(([count, { weft, silent }]) => failuresOf(count, [...weft, ...silent])),
    notes,
    plots: [],
    headline: counts.includes(MANY)
      ? [
          { name: `${MANY} Nodes: start until every peer is programmed`, figure: keyOf(MANY, 'programmed', 'weft') },
          { name: `${MANY} Nodes: memory of the agent`, figure: keyOf(MANY, 'resident', 'weft') },
          { name: `${MANY} Nodes: received per 1000`, figure: keyOf(MANY, 'start-received', 'weft') },
        ]
      : [],
  };
}

function figuresOf(count: number, runs: Runs): Figure[] {
  const agents = AGENTS.filter((agent) => runs[agent].length > 0);
  return KEYS.flatMap((what) =>
    agents.map((agent) => {
      const { name, unit, of }: Measure = MEASURES[what];
      const role = agent === 'flannel' ? 'reference' : 'weft';
      const about = { key: keyOf(count, what, agent), name: `${count} Nodes: ${name}, ${NAMES[agent]}`, unit } as const;
      const values = runs[agent].map((run) => (run === undefined ? Number.NaN : of(run, count)));
      return figure({ ...about, better: 'lower', role }, values);
    }),
  );
}

function tableOf(count: number, figures: readonly Figure[]): Table {
  const cell = (what: MeasureKey, agent: AgentKey): string => {
    const found = figures.find(({ key }) => key === keyOf(count, what, agent));
    return found === undefined ? '–' : shown(median(samplesOfFigure(found)));
  };
  const isSilentToo = figures.some(({ key }) => key === keyOf(count, 'processor', 'silent'));
  const agents = AGENTS.filter((agent) => agent !== 'silent' || isSilentToo);
  return {
    title: `${count} Nodes, one in a hundred changing a minute; medians`,
    head: ['', 'unit', ...agents.map((agent) => NAMES[agent])],
    rows: KEYS.map((what) => [MEASURES[what].name, MEASURES[what].unit, ...agents.map((agent) => cell(what, agent))]),
  };
}

/**
 * Compares our agent with flannel's. Ours may not take more of anything, except processor time while Nodes change, which has
 * a limit of its own. With 1000 Nodes only the processor time of the start has a limit.
 */
function ratiosOf(count: number, figures: readonly Figure[]): RatioOfFigures[] {
  return KEYS.map((what) => {
    const keys = { of: keyOf(count, what, 'weft'), against: keyOf(count, what, 'flannel') };
    const few = what === 'start-processor' ? { most: FEW_START_LIMIT } : {};
    const limit = count < MANY ? few : what === 'processor' ? {} : { most: 1 };
    return ratioOfFigures(`${count} Nodes: ${MEASURES[what].name}, against flanneld`, figures, keys, limit);
  });
}

/** A limit for our agent; none where nothing was measured. */
function limitOf(
  figures: readonly Figure[],
  agent: AgentKey,
  { count, what, most }: { readonly count: number; readonly what: MeasureKey; readonly most: number },
): ValueLimit[] {
  const found = figures.find(({ key }) => key === keyOf(count, what, agent));
  if (found === undefined) return [];
  const { name, unit } = MEASURES[what];
  return [{ name: `${count} Nodes: ${name}, ${NAMES[agent]}`, value: median(samplesOfFigure(found)), most, unit }];
}

function failuresOf(count: number, runs: readonly (Run | undefined)[]): string[] {
  const failed = runs.filter((run) => run === undefined).length;
  return failed === 0 ? [] : [`weft failed ${failed} of ${runs.length} times among ${count} Nodes`];
}
