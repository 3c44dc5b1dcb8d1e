// Compares two runs: which figures changed by more than noise, and by more than the machine itself changed.

import { isDisturbed } from './disturbance.ts';
import { samplesOfFigure } from './result.ts';
import type { MeasuredPart, RunResult } from './run-result.ts';
import { FEWEST_ROUNDS, median, type Ratio, ratioOfSeparateMedians } from './stats.ts';
import { table } from './table.ts';

export type Judgement = 'faster' | 'slower' | 'better' | 'worse' | 'no difference seen' | 'too few samples';

export interface Comparison {
  readonly part: string;
  /** The figure's key. */
  readonly key: string;
  readonly unit: string;
  /** The medians of the two runs. */
  readonly before: number;
  readonly after: number;
  /** The median after, divided by the one before. */
  readonly ratio: Ratio;
  readonly judgement: Judgement;
}

export interface Compared {
  /** A comparison for each figure of Weft's own. */
  readonly figures: readonly Comparison[];
  /** For each part the largest change of its references, as a factor of at least 1. The machine caused it, not Weft. */
  readonly drift: Readonly<Record<string, number>>;
  /** Figures that only one of the runs has. */
  readonly missing: readonly string[];
  /** Why the two runs cannot fairly be compared: another machine, another length, or other programs that took the processor. */
  readonly unlike: readonly string[];
}

/** A median that moved by less than this counts as unchanged, even when the difference is certain. */
const MINIMUM_EFFECT = 0.05;

/**
 * Judges every figure of Weft's that both runs have. A figure is slower (or worse, when it is not a time) when the interval
 * of its ratio does not contain 1 and its median moved by more than 5 % and by more than any reference of its part.
 */
export function compareRuns(before: RunResult, after: RunResult): Compared {
  const figures: Comparison[] = [];
  const drift: Record<string, number> = {};
  const missing: string[] = [];
  for (const part of before.parts) {
    const other = after.parts.find(({ name }) => name === part.name);
    if (other === undefined) {
      missing.push(`${part.name} is only in the first`);
      continue;
    }
    drift[part.name] = driftOf(part, other);
    const least = Math.max(1 + MINIMUM_EFFECT, drift[part.name] ?? 1);
    const compared = comparePart(part, other, least);
    figures.push(...compared.figures);
    missing.push(...compared.missing);
  }
  const added = after.parts.filter(({ name }) => before.parts.every((part) => part.name !== name));
  const alsoMissing = added.map(({ name }) => `${name} is only in the second`);
  return { figures, drift, missing: [...missing, ...alsoMissing], unlike: unlikeness(before, after) };
}

const MACHINE = ['cpu', 'cpus', 'memoryMb', 'kernel', 'kernelCommandLine', 'scratchFilesystem'] as const;

function unlikeness(before: RunResult, after: RunResult): string[] {
  const machines = MACHINE.filter((key) => before.machine[key] !== after.machine[key]).map(
    (key) => `the machines differ: ${key}: ${before.machine[key]} before, ${after.machine[key]} after`,
  );
  const length = (run: RunResult): string => (run.quick ? 'quick' : 'full');
  const lengths = before.quick === after.quick ? [] : [`a ${length(before)} run before, a ${length(after)} one after`];
  const disturbed = Object.entries({ before, after }).flatMap(([which, { parts }]) => {
    const names = parts.filter(({ notes }) => isDisturbed(notes)).map(({ name }) => name);
    return names.length === 0 ? [] : [`disturbed ${which}: ${names.join(', ')}`];
  });
  return [...machines, ...lengths, ...disturbed, ...clusterUnlikeness(before, after)];
}

/** The properties of a node that are compared, out of everything that the kubelet reports, because speed depends on them. */
const NODE = ['kernelVersion', 'architecture', 'containerRuntimeVersion', 'kubeletVersion'] as const;

/** What differs between two measured clusters: their pod networks, which may be the point, and their nodes, which must not. */
function clusterUnlikeness(before: RunResult, after: RunResult): string[] {
  const [one, other] = [before, after].map(({ parts }) => parts.find(({ name }) => name === 'cluster')?.about);
  if (one === undefined || other === undefined) return [];
  const differ = (what: string, a: string, b: string): string[] =>
    a === b ? [] : [`${what}: ${a} before, ${b} after`];
  return [
    ...differ('pod networks', String(one['network']), String(other['network'])),
    ...differ('the nodes differ', describeNodes(one['nodes']), describeNodes(other['nodes'])),
  ];
}

function describeNodes(nodes: unknown): string {
  const all = Object.entries((nodes ?? {}) as Readonly<Record<string, Readonly<Record<string, unknown>>>>);
  return all.map(([name, info]) => `${name} (${NODE.map((key) => String(info[key])).join(', ')})`).join(' and ');
}

function comparePart(
  before: MeasuredPart,
  after: MeasuredPart,
  least: number,
): { figures: Comparison[]; missing: string[] } {
  const figures: Comparison[] = [];
  const missing: string[] = [];
  for (const old of before.figures.filter(({ role }) => role === 'weft')) {
    const now = after.figures.find(({ key }) => key === old.key);
    if (now === undefined || now.unit !== old.unit) {
      missing.push(`${before.name}: ${old.key} is only in the first`);
      continue;
    }
    const [a, b] = [samplesOfFigure(now), samplesOfFigure(old)];
    const ratio = ratioOfSeparateMedians(a, b);
    const few = [a, b].some((values) => values.filter((value) => !Number.isNaN(value)).length < FEWEST_ROUNDS);
    figures.push({
      part: before.name,
      key: old.key,
      unit: old.unit,
      before: medianOf(b),
      after: medianOf(a),
      ratio,
      judgement: few ? 'too few samples' : judge(ratio, least, old),
    });
  }
  return { figures, missing };
}

function medianOf(values: readonly number[]): number {
  return median(values.filter((value) => !Number.isNaN(value)));
}

const TIMES = ['µs', 'ms', 's'];

function judge(
  { value, low, high }: Ratio,
  least: number,
  of: { better: 'lower' | 'higher'; unit: string },
): Judgement {
  const isUp = low > 1 && value > least;
  const isDown = high < 1 && value < 1 / least;
  if (!isUp && !isDown) return 'no difference seen';
  const isWorse = of.better === 'lower' ? isUp : isDown;
  if (TIMES.includes(of.unit)) return isWorse ? 'slower' : 'faster';
  return isWorse ? 'worse' : 'better';
}

/** The largest change among the references that have enough samples. */
function driftOf(before: MeasuredPart, after: MeasuredPart): number {
  const factors = before.figures
    .filter(({ role, samples }) => role === 'reference' && samples.length >= FEWEST_ROUNDS)
    .flatMap((old) => {
      const now = after.figures.find(({ key }) => key === old.key);
      if (now === undefined) return [];
      const factor = medianOf(samplesOfFigure(now)) / medianOf(samplesOfFigure(old));
      return factor > 0 && Number.isFinite(factor) ? [Math.max(factor, 1 / factor)] : [];
    });
  return Math.max(1, ...factors);
}

export function isWorse({ judgement }: Comparison): boolean {
  return judgement === 'slower' || judgement === 'worse';
}

export function describeComparison({ figures, drift, missing, unlike }: Compared): string {
  const rows = figures.map(({ part, key, unit, before, after, ratio: { value, low, high }, judgement }) => [
    `${part}: ${key}`,
    `${short(before)} ${unit}`,
    `${short(after)} ${unit}`,
    `${value.toFixed(3)} (${low.toFixed(3)}–${high.toFixed(3)})`,
    judgement,
  ]);
  const drifts = Object.entries(drift)
    .filter(([, factor]) => factor > 1 + MINIMUM_EFFECT)
    .map(
      ([part, factor]) => `${part}: its references moved by a factor of ${factor.toFixed(2)}: so much is the machine's`,
    );
  const counts = figures.filter(isWorse).length;
  return [
    table(['medians', 'before', 'after', 'after by before (95 %)', 'verdict'], rows),
    ...unlike,
    ...drifts,
    ...missing,
    `${counts} of ${figures.length} slower or worse`,
  ].join('\n');
}

function short(value: number): string {
  return Number.isFinite(value) ? `${Number(value.toPrecision(4))}` : '–';
}
