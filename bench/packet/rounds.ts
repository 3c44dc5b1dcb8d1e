// The rounds: pods made one after the other on one node, each with a sender that waits in it for its interface, or, as
// a control, without one; the other end is a pod on the other node. Kinds alternate, so that what disturbs one
// disturbs all.

import type { LabNode } from '../../test/lab/lab-node.ts';
import type { LabPod } from '../../test/lab/lab-pod.ts';
import { type Receiver, type Sender, startReceiver, startSender } from './end.ts';
import type { Protocol, SendResult } from './end-spec.ts';
import { failureOf, type Timeline } from './timeline.ts';

export type Kind = Protocol | 'control';
export const KINDS: readonly Kind[] = ['control', 'udp', 'icmp'];

export interface PodSample {
  readonly kind: Kind;
  readonly round: number;
  readonly timeline: Timeline;
  readonly failure?: string | undefined;
  /** Each plugin execution of ADD. */
  readonly plugins: readonly { readonly type: string; readonly startNs: number; readonly endNs: number }[];
  readonly sender?: SendResult | undefined;
  /** Which of the packets was the first delivered. */
  readonly deliveredSequence?: number | undefined;
}

export interface Site {
  /** Where the pods are made. */
  readonly node: LabNode;
  /** A pod on another node. */
  readonly target: LabPod;
  /** How long after eth0 is up an answer is waited for; 2000 when absent. */
  readonly giveUpMs?: number;
}

const GIVE_UP_MS = 2000;
/** The sender's process needs so long at most to say what became of its packets, the receiver's one to say what came. */
const REPORT_MS = 5000;
const ARRIVAL_MS = 500;

/** Every kind once for each round; `onSample` hears of each pod when it is done. Rejects when a receiver ended. */
export async function measureRounds(
  site: Site,
  rounds: number,
  onSample: (sample: PodSample) => void = () => undefined,
): Promise<PodSample[]> {
  const receivers = new Map<Kind, Receiver>();
  const samples: PodSample[] = [];
  try {
    for (const protocol of ['udp', 'icmp'] as const) {
      receivers.set(protocol, await startReceiver(site.target.netnsFromOutside, protocol));
    }
    for (let round = 0; round < rounds; round += 1) {
      // Each is the first as often as the others: who comes next may find the machine busy with the last one's end.
      for (const kind of [...KINDS.slice(round % KINDS.length), ...KINDS.slice(0, round % KINDS.length)]) {
        const sample = await measurePod(site, kind, round, receivers);
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

async function measurePod(
  site: Site,
  kind: Kind,
  round: number,
  receivers: ReadonlyMap<Kind, Receiver>,
): Promise<PodSample> {
  const { node, target, giveUpMs = GIVE_UP_MS } = site;
  const name = `packet-${kind}-${round}`;
  const netns = `/run/netns/${name}`;
  await node.run(['ip', 'netns', 'add', name]);
  const receiver = receivers.get(kind);
  let sender: Sender | undefined;
  let pod: LabPod | undefined;
  try {
    if (kind !== 'control') {
      const spec = { protocol: kind, to: target.ip, run: round, giveUpMs };
      sender = await startSender(node.pathFromOutside(netns), spec);
    }
    pod = await node.addPod({ name, netns });
    const plugins = pod.timings.runs.map(({ type, startNs, endNs }) => ({ type, startNs, endNs }));
    const called = { t0: plugins[0]?.startNs, t5: plugins.at(-1)?.endNs };
    if (kind === 'control') return { kind, round, timeline: called, plugins };
    const sent = await sender?.result(giveUpMs + REPORT_MS);
    const arrival = await receiver?.arrival(round, ARRIVAL_MS);
    const timeline = { ...called, t6: sent?.firstSentNs, t7: arrival?.atNs, t8: sent?.answeredNs };
    const failure = sent === undefined ? 'the sender said nothing' : failureOf(timeline);
    return { kind, round, timeline, failure, plugins, sender: sent, deliveredSequence: arrival?.sequence };
  } catch (error) {
    // A pod that got no network is what is counted, not the end of the run.
    return { kind, round, timeline: {}, failure: error instanceof Error ? error.message : String(error), plugins: [] };
  } finally {
    await sender?.stop();
    await pod?.remove();
  }
}
