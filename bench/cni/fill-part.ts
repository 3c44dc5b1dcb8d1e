// Does an ADD become slower when more addresses are already in use? The reference host-local reads all of them.

import { ratioOfFigures, summaryTable } from '../figures.ts';
import type { LinesPlot, PartResult } from '../result.ts';
import { BRIDGE, type CniBench, describeTrouble, figuresOf, keyOf, measuringPlan, WEFT, weftVariant } from './part.ts';
import { pairSteps, type Variant } from './plan.ts';
import { runDriver } from './run-driver.ts';
import { collectSamples, type Samples } from './samples.ts';
import { bridgeConfig, fillAddresses, flannelConfig, variantOf } from './setting.ts';

const IN_USE = [0, 100, 1000, 20_000] as const;
const SUBNET_LENGTH = 16;
const RUNS = 100;
const QUICK_RUNS = 10;
/** Few runs: with 20,000 addresses in use the reference takes 0.2 s for each ADD. */
const REFERENCE_RUNS = 20;
const PAUSE_MS = 40;
const GROUP = 'fill';
/** An ADD may take at most a fifth longer than with no address in use. */
const MOST = 1.2;

export async function benchFill(bench: CniBench): Promise<PartResult> {
  const { options, setting, debian } = bench;
  const runs = options.runs ?? (options.quick ? QUICK_RUNS : RUNS);
  const ours = await measure(bench, 'weft with addresses in use', runs, (count, node) => {
    const network = networkWith(bench, WEFT, count);
    return weftVariant(bench, nameOf(WEFT, count), node, flannelConfig(setting.scratch, network, SUBNET_LENGTH));
  });
  const parts = [ours];
  if (debian !== undefined && !options.quick) {
    const reference = await measure(bench, 'host-local with addresses in use', REFERENCE_RUNS, (count, node) => {
      const config = bridgeConfig(networkWith(bench, 'reference', count), SUBNET_LENGTH);
      return variantOf(nameOf(BRIDGE, count), node, `${debian}/bridge`, { cniPath: debian, config });
    });
    parts.push(reference);
  }
  const samples = parts.flatMap((part) => part.samples);
  const adds = figuresOf(
    GROUP,
    samples.filter(({ command }) => command === 'ADD'),
  );
  return {
    figures: adds,
    tables: [summaryTable('an ADD in a /16', adds)],
    ratios: IN_USE.slice(1).map((count) => {
      const [of, against] = [keyWith(WEFT, count), keyWith(WEFT, 0)];
      return ratioOfFigures(`ADD, ${count} addresses in use against none`, adds, { of, against }, { most: MOST });
    }),
    limits: [],
    failures: parts.flatMap((part) => part.failures),
    notes: [],
    plots: [linesPlot(parts.length > 1 ? [WEFT, BRIDGE] : [WEFT])],
    headline: [],
  };
}

function linesPlot(whose: readonly string[]): LinesPlot {
  return {
    kind: 'lines',
    title: 'ADD by addresses in use',
    x: { label: 'addresses in use', log: false },
    y: { label: 'µs', log: true },
    series: whose.map((who) => ({
      name: who,
      points: IN_USE.map((count) => ({ x: count, figure: keyWith(who, count) })),
    })),
  };
}

function keyWith(who: string, count: number): string {
  return keyOf(GROUP, 'ADD', nameOf(who, count));
}

function nameOf(who: string, count: number): string {
  return `${who}, ${count} in use`;
}

/** Fills a network of its own and returns its name. */
function networkWith({ setting }: CniBench, who: string, count: number): string {
  const network = `${who}-${count}`;
  fillAddresses(setting.scratch, network, count);
  return network;
}

async function measure(
  bench: CniBench,
  label: string,
  runs: number,
  variantWith: (count: number, node: number) => Variant,
): Promise<{ samples: Samples[]; failures: string[] }> {
  const variants = IN_USE.map(variantWith);
  const steps = pairSteps(variants.length, runs, PAUSE_MS);
  const pods = variants.length;
  const measuring = measuringPlan(bench, { variants, floor: undefined, resident: true, pods, steps });
  const result = await runDriver(bench, measuring.plan, label);
  return { samples: collectSamples(measuring, result), failures: describeTrouble(measuring.plan, result) };
}
