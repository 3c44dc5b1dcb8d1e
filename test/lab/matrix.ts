// Pings from every pod to every other pod: which answer, how fast, and why others do not.

import { slowed } from '../support/slowness.ts';
import type { ProbeAnswer, ProbeRequest } from './contract.ts';

export interface PingOptions {
  /** The number of bytes after the ICMP header; 56, as in ping(8), when absent. */
  readonly payloadBytes?: number;
  readonly dontFragment?: boolean;
  readonly timeoutMs?: number;
}

/** A member of the matrix: something that has an address and can ping. */
export interface Pinger {
  readonly name: string;
  readonly ip: string;
  /** The member's node. Members of one node ping one after the other, members of different nodes at the same time. */
  readonly node: { readonly name: string };
  ping(targets: readonly string[], options?: PingOptions): Promise<readonly ProbeAnswer[]>;
}

/** An ordered pair of members. */
export interface Pair extends ProbeAnswer {
  readonly from: string;
  readonly to: string;
}

const DEFAULT_PAYLOAD_BYTES = 56;
const DEFAULT_TIMEOUT_MS = slowed(1000);

export function probeRequest(
  targets: readonly string[],
  netns: string | undefined,
  options: PingOptions,
): ProbeRequest {
  const { payloadBytes = DEFAULT_PAYLOAD_BYTES, dontFragment = false, timeoutMs = DEFAULT_TIMEOUT_MS } = options;
  return { netns, targets, payloadBytes, dontFragment, timeoutMs };
}

/** Pings all ordered pairs of two different members, in the given order. */
export async function pingMatrix(pods: readonly Pinger[], options: PingOptions = {}): Promise<Pair[]> {
  const nodes = [...new Set(pods.map((pod) => pod.node.name))];
  const rows = await Promise.all(
    nodes.map((node) =>
      rowsOf(
        pods.filter((pod) => pod.node.name === node),
        pods,
        options,
      ),
    ),
  );
  const order = new Map(pods.map((pod, index) => [pod.name, index]));
  return rows.flat().sort((a, b) => (order.get(a.from) ?? 0) - (order.get(b.from) ?? 0));
}

async function rowsOf(sources: readonly Pinger[], pods: readonly Pinger[], options: PingOptions): Promise<Pair[]> {
  const pairs: Pair[] = [];
  for (const source of sources) {
    const others = pods.filter((pod) => pod !== source);
    const answers = await source.ping(
      others.map(({ ip }) => ip),
      options,
    );
    pairs.push(...answers.map((answer, index) => ({ ...answer, from: source.name, to: others[index]?.name ?? '' })));
  }
  return pairs;
}

export function answered<A extends ProbeAnswer>(answers: readonly A[]): A[] {
  return answers.filter(({ failure }) => failure === undefined);
}

export function failed<A extends ProbeAnswer>(answers: readonly A[]): A[] {
  return answers.filter(({ failure }) => failure !== undefined);
}
