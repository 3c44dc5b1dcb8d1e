// What the sub-parts of `cni` have in common: their input, their result, and the variants they measure.

import { figure } from '../figures.ts';
import type { BenchOptions } from '../options.ts';
import type { Progress } from '../progress.ts';
import type { Figure } from '../result.ts';
import {
  type Attachment,
  type CallStep,
  type Command,
  containerId,
  type InspectStep,
  type Plan,
  type PlanResult,
  pairSteps,
  type Step,
  type Variant,
} from './plan.ts';
import type { Samples } from './samples.ts';
import { bridgeConfig, flannelConfig, type Setting, variantOf } from './setting.ts';

export const WEFT = 'weft';
export const CHAIN = 'flannel chain';
export const BRIDGE = 'bridge + host-local';
export const FLOOR = 'C floor';

export interface CniBench {
  readonly options: BenchOptions;
  readonly progress: Progress;
  readonly setting: Setting;
  /** Paths of the programs. All but the driver are copies in the setting's folder. */
  readonly driver: string;
  readonly weft: string;
  /** Weft's executable under the name portmap. */
  readonly weftPortmap: string;
  readonly floor: string;
  /** Folders with copies of the references that were found. */
  readonly chain: string | undefined;
  readonly debian: string | undefined;
}

/** The key of a variant's figure, such as `latency/ADD/flannel-chain`. */
export function keyOf(group: string, command: Command, variant: string): string {
  return `${group}/${command}/${slug(variant)}`;
}

export function slug(name: string): string {
  return name
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replace(/-$/, '');
}

/** One figure for each variant and command, in the order of the samples. */
export function figuresOf(group: string, samples: readonly Samples[]): Figure[] {
  return samples.map(({ variant, command, us }) => {
    const role = variant.startsWith(WEFT) ? 'weft' : 'reference';
    const key = keyOf(group, command, variant);
    return figure({ key, name: `${command}, ${variant}`, unit: 'µs', better: 'lower', role }, us);
  });
}

/** All variants that are compared, each in a node of its own: Weft is the first, the floor the last. */
export function comparedVariants(bench: CniBench): Variant[] {
  const { setting, weft, floor, chain, debian } = bench;
  const flannel = flannelConfig(setting.scratch);
  const variants = [weftVariant(bench, WEFT, 0, flannel)];
  const add = (name: string, path: string, cniPath: string, config: string): void => {
    variants.push(variantOf(name, variants.length, path, { cniPath, config }));
  };
  if (chain !== undefined) add(CHAIN, `${chain}/flannel`, chain, flannel);
  if (debian !== undefined) add(BRIDGE, `${debian}/bridge`, debian, bridgeConfig());
  add(FLOOR, floor, weft, flannel);
  return variants;
}

/** Weft as a variant. As on most nodes, the reference plugins lie beside ours, and must make no difference. */
export function weftVariant({ weft, debian }: CniBench, name: string, node: number, config: string): Variant {
  const folder = weft.slice(0, weft.lastIndexOf('/'));
  return variantOf(name, node, weft, { cniPath: debian === undefined ? folder : `${folder}:${debian}`, config });
}

const WARM_ROUNDS = 3;
const RESIDENT = 2_000_000;

/** What is to be measured, and on which nodes. */
interface Measurement {
  readonly variants: readonly Variant[];
  /** The C floor, which cannot create a bridge: Weft prepares its node first. */
  readonly floor: Variant | undefined;
  /** Whether another pod stays on each node. Without one, the bridge would go down and up again with each pod. */
  readonly resident: boolean;
  /** The number of pods that the steps use. */
  readonly pods: number;
  readonly steps: readonly Step[];
}

/** A plan, and the position in it of the steps that are measured. */
export interface MeasuringPlan {
  readonly plan: Plan;
  readonly from: number;
  readonly to: number;
}

/**
 * Puts steps before and after those that are measured. The ones before bring the nodes into their lasting state (bridge,
 * folders, caches, the resident pod); the ones after remove the resident pod.
 */
export function measuringPlan(bench: CniBench, { variants, floor, resident, pods, steps }: Measurement): MeasuringPlan {
  const count = variants.length;
  const warmer = floor === undefined ? [] : [weftVariant(bench, 'warmer', floor.node, floor.config)];
  const call = (command: Command, index: number): CallStep => {
    // The floor cannot create a bridge, so Weft prepares its node.
    const variant = variants[index] === floor ? count : index;
    return { kind: 'call', variant, command, attachment: residentAttachment(index, pods), pauseMs: 0 };
  };
  const indexes = variants.map((_, index) => index);
  const arrive = indexes.map((index) => call('ADD', index));
  const leave = indexes.map((index) => call('DEL', index));
  const before = [
    ...(resident ? arrive : [...arrive, ...leave]),
    ...pairSteps(count, WARM_ROUNDS, 0),
    ...lookSteps(count),
  ];
  const plan: Plan = {
    scratch: bench.setting.scratch,
    nodes: Math.max(...variants.map(({ node }) => node)) + 1,
    pods: pods + count,
    variants: [...variants, ...warmer],
    steps: [...before, ...steps, ...(resident ? leave : [])],
  };
  return { plan, from: before.length, to: before.length + steps.length };
}

function residentAttachment(index: number, pods: number): Attachment {
  return { containerId: containerId(RESIDENT + index), pod: pods + index };
}

/** The steps for each variant: an ADD, an inspection of what it made, and a DEL. */
function lookSteps(variants: number): Step[] {
  return pairSteps(variants, 1, 0).flatMap((step): Step[] => {
    const { variant, attachment, command } = step;
    const look: InspectStep = { kind: 'inspect', variant, attachment, pauseMs: 0 };
    return command === 'ADD' ? [step, look] : [step];
  });
}

/** A line for each kind of failure, and for links that were left in a node. */
export function describeTrouble(plan: Plan, { results, leftovers }: PlanResult): string[] {
  const counts = new Map<string, number>();
  for (const failure of results.flatMap(({ failures }) => failures)) {
    const key = failure.replace(/[0-9a-f]{64}/g, '<container>').replace(/\d+\.\d+\.\d+\.\d+/g, '<ip>');
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  const left = leftovers.flatMap((links, node) => {
    const name = plan.variants.find((variant) => variant.node === node)?.name;
    return links.length === 0
      ? []
      : [`${links.length} links left in the node of ${name}: ${links.slice(0, 5).join(' ')}`];
  });
  return [...[...counts].map(([text, count]) => `${count} × ${text}`), ...left];
}
