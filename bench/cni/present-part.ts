// Does an ADD become slower when more pods are already on the node? 250 is more than any node runs by default.

import { ratioOfFigures, summaryTable } from '../figures.ts';
import type { Figure, LinesPlot, PartResult } from '../result.ts';
import {
  BRIDGE,
  CHAIN,
  type CniBench,
  describeTrouble,
  figuresOf,
  keyOf,
  type MeasuringPlan,
  measuringPlan,
  WEFT,
  weftVariant,
} from './part.ts';
import { type BurstStep, type Command, containerId, pairSteps, type Variant } from './plan.ts';
import { runDriver } from './run-driver.ts';
import { collectSamples } from './samples.ts';
import { bridgeConfig, flannelConfig, variantOf } from './setting.ts';

const PRESENT = [0, 30, 110, 250] as const;
/** For the references only the smallest and the largest number of pods are measured. */
const ENDS = [0, 250] as const;
const RUNS = 60;
const QUICK_RUNS = 8;
const PAUSE_MS = 60;
const WORKERS = 8;
const GROUP = 'present';
/** Container numbers of the pods already on the node begin here, above those of all other pods. */
const FIRST_CONTAINER = 3_000_000;
const SUBNET_LENGTH = 22;

/** A variant, and how many pods are already on its node. */
interface Populated {
  readonly variant: Variant;
  readonly present: number;
}

export async function benchPresent(bench: CniBench): Promise<PartResult> {
  const { quick, runs = quick ? QUICK_RUNS : RUNS } = bench.options;
  const populated = populatedNodes(bench);
  const variants = populated.map(({ variant }) => variant);
  const steps = pairSteps(variants.length, runs, PAUSE_MS);
  const measuring = measuringPlan(bench, { variants, floor: undefined, resident: true, pods: variants.length, steps });
  const filled = withPresent(bench, measuring, populated);
  const result = await runDriver(bench, filled.plan, 'pods on the node');
  const adds = figuresOf(GROUP, collectSamples(filled, result)).filter(({ key }) => key.startsWith(`${GROUP}/ADD/`));
  return {
    figures: adds,
    tables: [summaryTable('an ADD with pods on the node', adds)],
    ratios: [ratioOf(adds, WEFT), ...others(populated).map((name) => ratioOf(adds, name))],
    limits: [],
    failures: describeTrouble(filled.plan, result),
    notes: [],
    plots: [plotPresent(populated)],
    headline: [],
  };
}

function nameOf(who: string, present: number): string {
  return `${who}, ${present} pods present`;
}

/** The variants, each with its own node and address store. A quick run has only Weft, with the fewest and the most pods. */
function populatedNodes(bench: CniBench): Populated[] {
  const { options, setting, chain, debian } = bench;
  const nodes: Populated[] = [];
  const add = (who: string, present: number, make: (name: string, node: number, network: string) => Variant): void => {
    const network = `present-${nodes.length}`;
    nodes.push({ variant: make(nameOf(who, present), nodes.length, network), present });
  };
  const flannel = (network: string): string => flannelConfig(setting.scratch, network, SUBNET_LENGTH);
  for (const present of options.quick ? ENDS : PRESENT) {
    add(WEFT, present, (name, node, network) => weftVariant(bench, name, node, flannel(network)));
  }
  for (const present of options.quick ? [] : ENDS) {
    if (chain !== undefined) {
      add(CHAIN, present, (name, node, network) =>
        variantOf(name, node, `${chain}/flannel`, { cniPath: chain, config: flannel(network) }),
      );
    }
    if (debian !== undefined) {
      const config = (network: string): string => bridgeConfig(network, SUBNET_LENGTH);
      add(BRIDGE, present, (name, node, network) =>
        variantOf(name, node, `${debian}/bridge`, { cniPath: debian, config: config(network) }),
      );
    }
  }
  return nodes;
}

/** Adds steps in which Weft, whichever variant is measured, attaches the other pods before and detaches them afterwards. */
function withPresent(bench: CniBench, measuring: MeasuringPlan, populated: readonly Populated[]): MeasuringPlan {
  const { plan, from, to } = measuring;
  const fillers: Variant[] = [];
  const [arrive, leave]: [BurstStep[], BurstStep[]] = [[], []];
  let pods = plan.pods;
  for (const { variant, present } of populated) {
    if (present === 0) continue;
    const config = flannelConfig(bench.setting.scratch, networkOf(variant), SUBNET_LENGTH);
    const filler =
      plan.variants.length + fillers.push(weftVariant(bench, `filler of ${variant.name}`, variant.node, config)) - 1;
    const attachments = Array.from({ length: present }, (_, index) => ({
      containerId: containerId(FIRST_CONTAINER + pods + index),
      pod: pods + index,
    }));
    pods += present;
    const step = (command: Command): BurstStep => ({
      kind: 'burst',
      variant: filler,
      command,
      attachments,
      workers: WORKERS,
      pauseMs: 0,
    });
    arrive.push(step('ADD'));
    leave.push(step('DEL'));
  }
  return {
    plan: {
      ...plan,
      pods,
      variants: [...plan.variants, ...fillers],
      steps: [
        ...plan.steps.slice(0, from),
        ...arrive,
        ...plan.steps.slice(from, to),
        ...leave,
        ...plan.steps.slice(to),
      ],
    },
    from: from + arrive.length,
    to: to + arrive.length,
  };
}

function networkOf({ config }: Variant): string {
  return (JSON.parse(config) as { name: string }).name;
}

function others(populated: readonly Populated[]): string[] {
  return [CHAIN, BRIDGE].filter((who) => populated.some(({ variant }) => variant.name === nameOf(who, 0)));
}

function ratioOf(adds: readonly Figure[], who: string) {
  const keys = { of: keyOf(GROUP, 'ADD', nameOf(who, 250)), against: keyOf(GROUP, 'ADD', nameOf(who, 0)) };
  return ratioOfFigures(`ADD of ${who}, 250 pods present against none`, adds, keys);
}

function plotPresent(populated: readonly Populated[]): LinesPlot {
  return {
    kind: 'lines',
    title: 'ADD by pods on the node',
    x: { label: 'pods present', log: false },
    y: { label: 'µs', log: true },
    series: [WEFT, ...others(populated)].map((who) => ({
      name: who,
      points: populated
        .filter(({ variant, present }) => variant.name === nameOf(who, present))
        .map(({ present: x }) => ({ x, figure: keyOf(GROUP, 'ADD', nameOf(who, x)) })),
    })),
  };
}
