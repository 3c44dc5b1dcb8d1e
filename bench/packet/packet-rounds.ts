// Runs the rounds. Pods are created one after the other on one node. In each, a sender waits for its interface; a control pod has no
// sender. The other end is a pod on the other node. Variants and kinds take turns, so that a disturbance affects all alike.

import type { LabNode } from '../../test/lab/lab-node.ts';
import type { LabPod } from '../../test/lab/lab-pod.ts';
import { rotated } from '../cni/plan.ts';
import { findMilestones } from '../trace/milestones.ts';
import type { Tracing } from '../trace/tracefs.ts';
import { type Receiver, type Sender, startReceiver, startSender } from './end.ts';
import type { Protocol, SendResult } from './end-spec.ts';
import { failureOf, type Timeline } from './timeline.ts';
import { type Attached, shippedVariant, type Variant } from './variants.ts';

/** How a pod is measured: `traced` is UDP while the kernel's trace is on. */
export type Kind = Protocol | 'control' | 'traced';

export interface PodSample {
  readonly variant: string;
  readonly kind: Kind;
  readonly round: number;
  readonly timeline: Timeline;
  readonly failure?: string | undefined;
  /** The plugins that ADD executed. */
  readonly plugins: Attached['plugins'];
  readonly sender?: SendResult | undefined;
  /** The number of the first packet that was delivered. */
  readonly deliveredSequence?: number | undefined;
}

export interface Site {
  /** The node on which the pods are created. */
  readonly node: LabNode;
  /** A pod on the other node. */
  readonly target: LabPod;
  /** The variants to measure; Weft as it is shipped when absent. The first variant also gets a control and rounds with ICMP. */
  readonly variants?: readonly Variant[];
  /** A trace that follows the node's runtime. */
  readonly tracing?: Tracing | undefined;
  /** How long to wait for an answer after eth0 is up; 2000 when absent. */
  readonly giveUpMs?: number;
}

const GIVE_UP_MS = 2000;
/** The longest that the processes at the two ends need to report what they sent and received. */
const REPORT_MS = 5000;
const ARRIVAL_MS = 500;

interface Step {
  readonly variant: Variant;
  readonly kind: Kind;
  /** The number that identifies the pod in its packets. */
  readonly run: number;
  readonly round: number;
}

/** The pods of one round: each variant with every kind it is measured by. */
function kindsOf({ variants, node, tracing }: Site): readonly (readonly [Variant, Kind])[] {
  const [first, ...others] = variants ?? [shippedVariant(node)];
  if (first === undefined) return [];
  const traced = (variant: Variant): Kind[] => (tracing === undefined || !variant.executes ? [] : ['traced']);
  return [
    ...(['control', 'udp', 'icmp', ...traced(first)] as const).map((kind) => [first, kind] as const),
    ...others.flatMap((variant) => (['udp', ...traced(variant)] as const).map((kind) => [variant, kind] as const)),
  ];
}

export function podsARound(site: Site): number {
  return kindsOf(site).length;
}

/** Measures every variant and kind once in each round, and calls `onSample` after each pod. Rejects when a receiver ended. */
export async function measureRounds(
  site: Site,
  rounds: number,
  onSample: (sample: PodSample) => void = () => undefined,
): Promise<PodSample[]> {
  const receivers = new Map<Protocol, Receiver>();
  const samples: PodSample[] = [];
  try {
    for (const protocol of ['udp', 'icmp'] as const) {
      receivers.set(protocol, await startReceiver(site.target.netnsFromOutside, protocol));
    }
    for (let round = 0; round < rounds; round += 1) {
      // Each variant comes first equally often, because the machine may still be busy with the end of the pod before.
      for (const [variant, kind] of rotated(kindsOf(site), round)) {
        const sample = await measurePod(site, { variant, kind, round, run: samples.length }, receivers);
        for (const receiver of receivers.values()) receiver.checkAlive();
        samples.push(sample);
        onSample(sample);
      }
    }
  } finally {
    for (const receiver of receivers.values()) await receiver.stop();
  }
  return samples;
}

async function measurePod(site: Site, step: Step, receivers: ReadonlyMap<Protocol, Receiver>): Promise<PodSample> {
  const { variant, kind, round } = step;
  const sample = { variant: variant.key, kind, round };
  try {
    return { ...sample, ...(await sendFromPod(site, step, receivers)) };
  } catch (error) {
    // A pod that got no network is counted as a failure and does not end the run.
    return { ...sample, timeline: {}, failure: error instanceof Error ? error.message : String(error), plugins: [] };
  }
}

type Outcome = Omit<PodSample, 'variant' | 'kind' | 'round'>;

async function sendFromPod(
  site: Site,
  { variant, kind, run }: Step,
  receivers: ReadonlyMap<Protocol, Receiver>,
): Promise<Outcome> {
  const { node, target, giveUpMs = GIVE_UP_MS } = site;
  const name = `packet-${variant.key}-${kind}-${run}`;
  const netns = `/run/netns/${name}`;
  await node.run(['ip', 'netns', 'add', name]);
  const protocol = kind === 'traced' ? 'udp' : kind;
  const tracing = kind === 'traced' ? site.tracing : undefined;
  let sender: Sender | undefined;
  let attached: Attached | undefined;
  try {
    if (protocol !== 'control') {
      sender = await startSender(node.pathFromOutside(netns), { protocol, to: target.ip, run, giveUpMs });
    }
    tracing?.start();
    attached = await variant.attach(name, netns);
    const { plugins, t0, t5 } = attached;
    if (protocol === 'control') return { timeline: { t0, t5 }, plugins };
    const sent = await sender?.result(giveUpMs + REPORT_MS);
    const arrival = await receivers.get(protocol)?.arrival(run, ARRIVAL_MS);
    const milestones = findMilestones(tracing?.stop().lines ?? [], t0 ?? Number.NaN);
    const timeline = { t0, ...milestones, t5, t6: sent?.firstSentNs, t7: arrival?.atNs, t8: sent?.answeredNs };
    const failure = sent === undefined ? 'the sender said nothing' : failureOf(timeline);
    return { timeline, failure, plugins, sender: sent, deliveredSequence: arrival?.sequence };
  } finally {
    tracing?.stop();
    await sender?.stop();
    await attached?.remove();
  }
}
