// The parts of the suite, in the order they are run.

import { backendsPart } from './backends.ts';
import { clusterPart } from './cluster.ts';
import { cniPart } from './cni.ts';
import { fastPathPart } from './fast-path.ts';
import { faultsPart } from './faults.ts';
import { guardPart } from './guard.ts';
import { nodesChangesPart, nodesPart, nodesStartPart } from './nodes.ts';
import { packetPart } from './packet.ts';
import { peersPart } from './peers.ts';
import { probesPart } from './probes.ts';
import type { Part } from './result.ts';
import { startPart } from './start.ts';
import { throughputPart } from './throughput.ts';
import { wherePart } from './where.ts';

const parts: readonly Part[] = [
  startPart,
  cniPart,
  wherePart,
  packetPart,
  peersPart,
  throughputPart,
  guardPart,
  probesPart,
  fastPathPart,
  faultsPart,
];
/**
 * Parts that run only when they are named: one takes about as long as all others together, one is a part of that, one needs a cluster, and
 * one a kernel with WireGuard and IPIP.
 */
const onRequest: readonly Part[] = [nodesPart, nodesStartPart, nodesChangesPart, clusterPart, backendsPart];

/** The parts with these names or, without names, those of a full or quick run. Throws when no part has a name. */
export function partsNamed(names: readonly string[], quick: boolean): readonly Part[] {
  if (names.length === 0) return parts.filter(({ seconds }) => !quick || seconds.quick !== undefined);
  const known = [...parts, ...onRequest];
  return names.map((name) => {
    const part = known.find((each) => each.name === name);
    if (part === undefined) throw new Error(`no part "${name}" among ${known.map((each) => each.name).join(', ')}`);
    return part;
  });
}
