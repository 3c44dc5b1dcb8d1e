// The parts of the suite, in the order they are run.

import { cniPart } from './cni.ts';
import { faultsPart } from './faults.ts';
import { nodesPart } from './nodes.ts';
import { packetPart } from './packet.ts';
import { peersPart } from './peers.ts';
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
  nodesPart,
  throughputPart,
  faultsPart,
];

/** The parts of these names, or all there are in a full or a quick run; throws for a name no part has. */
export function partsNamed(names: readonly string[], quick: boolean): readonly Part[] {
  if (names.length === 0) return parts.filter(({ seconds }) => !quick || seconds.quick !== undefined);
  return names.map((name) => {
    const part = parts.find((each) => each.name === name);
    if (part === undefined) throw new Error(`no part "${name}" among ${parts.map((each) => each.name).join(', ')}`);
    return part;
  });
}
