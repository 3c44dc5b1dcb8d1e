// Probes peers once, on demand, without an agent: for `flanneld doctor`. Number and time are bounded whatever the size of the cluster.

import type { Clock } from '../../lib/clock-node.ts';
import type { Finding } from '../health/finding.ts';
import type { Asker } from './ask.ts';
import { classify, type Problem } from './classify.ts';
import { examine } from './examine.ts';
import { findingsOf } from './findings.ts';
import { ProbeSockets, type ProbeSocketTools } from './probe-sockets.ts';
import { type LeasedPeer, type ProbePlace, type Target, targetOf } from './target.ts';

/** One family: this node's side, and the peers by the names of their leases. */
export interface ProbeSide {
  readonly place: ProbePlace;
  readonly peers: readonly (LeasedPeer & { readonly key: string })[];
}

export interface ProbePeersOptions {
  readonly node: string;
  /** The UDP port of the agents' probes. */
  readonly port: number;
  readonly sides: readonly ProbeSide[];
  /** Names of peers to probe first, such as those that the agent sees fail. */
  readonly first?: ReadonlySet<string>;
  /** The largest number of targets; 64 when absent. */
  readonly most?: number;
  readonly tools: ProbeSocketTools & { readonly random: () => number };
}

export interface PeersSeen {
  readonly findings: Finding[];
  /** How many targets have a result, and how many there are. A peer counts once in each family. */
  readonly probed: number;
  readonly of: number;
}

const MOST = 64;
const AT_ONCE = 32;
/** Shorter than the agent's, because two full rounds must end in time. */
const TRY_MS = 600;
const DEADLINE_MS = 5000;

/** Leaves nothing behind. Rejects with SysError when the sockets cannot be opened. */
export async function probePeers({
  node,
  port,
  sides,
  first,
  most = MOST,
  tools,
}: ProbePeersOptions): Promise<PeersSeen> {
  const opened: ProbeSockets[] = [];
  try {
    const all = sides.flatMap(({ place, peers }) => {
      const sockets = new ProbeSockets(place, port, undefined, tools, () => undefined);
      opened.push(sockets);
      const ask: Asker = (...args) => sockets.ask(...args);
      return peers.map(({ key, ...peer }) => ({ target: targetOf(key, peer), place, ask }));
    });
    const chosen = choose(all, first ?? new Set(), tools.random, most);
    return await examineAll(node, chosen, all.length, { ...tools, nowMs: Date.now });
  } finally {
    await Promise.all(opened.map((sockets) => sockets.close()));
  }
}

/** A target with the function that asks it. */
export interface Candidate {
  readonly target: Target;
  readonly place: ProbePlace;
  readonly ask: Asker;
}

/** Takes those named first, then any others. */
export function choose(
  all: readonly Candidate[],
  first: ReadonlySet<string>,
  random: () => number,
  most = MOST,
): Candidate[] {
  const ranked = all.map((one) => ({ one, rank: first.has(one.target.peer) ? 0 : 1 + random() }));
  return ranked
    .sort((a, b) => a.rank - b.rank)
    .slice(0, most)
    .map(({ one }) => one);
}

/** Examines the targets, a limited number at once, until the deadline. A target without a result by then has no finding. */
export async function examineAll(
  node: string,
  candidates: readonly Candidate[],
  of: number,
  { clock, nowMs }: { readonly clock: Clock; readonly nowMs: () => number },
): Promise<PeersSeen> {
  const affected: { peer: string; problem: Problem }[] = [];
  const waiting = [...candidates];
  let probed = 0;
  let isOver = false;
  const work = async (): Promise<void> => {
    for (let one = waiting.shift(); one !== undefined && !isOver; one = waiting.shift()) {
      const { target, place, ask } = one;
      const evidence = await examine({ target, ask, mtu: place.mtu, tunnel: place.tunnel, nowMs, tryMs: TRY_MS });
      if (isOver) return;
      const known = { heardAtMs: undefined, failingSinceMs: undefined, agentSilentMs: undefined };
      const { problem } = classify(evidence, { node, target, place, ...known });
      probed++;
      if (problem !== undefined) affected.push({ peer: target.peer, problem });
    }
  };
  const workers = Array.from({ length: AT_ONCE }, work);
  await new Promise<void>((resolve, reject) => {
    const cancel = clock.after(DEADLINE_MS, resolve);
    Promise.all(workers).then(() => {
      cancel();
      resolve();
    }, reject);
  });
  isOver = true;
  return { findings: findingsOf(node, affected, probed), probed, of };
}
