// The doctor's tests with packets. They take a few seconds at most, and are undone before the doctor ends.

import { IFF_UP } from '../../../lib/rtnetlink/rtnetlink-constants.ts';
import type { Draft } from '../draft.ts';
import { Reads } from '../view/reads.ts';
import type { View } from '../view/view.ts';
import { type PeerChoice, type PeersTried, triedPeers } from './peers.ts';
import { refusedPods } from './refused-pods.ts';
import type { TryTools } from './try-tools.ts';
import { tunnelDrops } from './tunnel-drops.ts';

/** Time limits. The probes of peers end a little earlier by themselves, with the results they have. */
const PODS_MS = 4000;
const PEERS_MS = 5500;

export interface Tried {
  /** Findings about this node's own rules. */
  readonly local: readonly Draft[];
  readonly peers: readonly Draft[];
  /** What could not be tried, one line each. */
  readonly failures: readonly string[];
}

/** Never rejects. */
export async function tryPackets(view: View, choice: PeerChoice, tools: TryTools): Promise<Tried> {
  const reads = new Reads(tools.clock);
  const [pods, peers] = await Promise.all([
    reads.slow('whether rules refuse packets of pods', () => refusedPods(view, tools), PODS_MS),
    isUnderlayUp(view) ? reads.slow('the peers', () => triedPeers(view, choice, tools), PEERS_MS) : undefined,
  ]);
  const { drafts, leftOut }: PeersTried = peers ?? { drafts: [], leftOut: undefined };
  // Where every peer answers no rule is in the way. This comes after the probes, because a kernel sends only a few refusals a second.
  const mayDrop = peers === undefined ? isUnderlayUp(view) : drafts.some(({ severity }) => severity === 'error');
  const tunnel = mayDrop
    ? await reads.slow('whether rules drop packets of the tunnel', () => tunnelDrops(view, tools))
    : [];
  const failures = leftOut === undefined ? reads.failures : [...reads.failures, leftOut];
  return { local: [...(pods ?? []), ...(tunnel ?? [])], peers: drafts, failures };
}

/** Without the underlay every peer is silent, which says nothing about peers. */
function isUnderlayUp({ underlay }: View): boolean {
  return ((underlay?.link?.flags ?? 0) & IFF_UP) !== 0;
}
