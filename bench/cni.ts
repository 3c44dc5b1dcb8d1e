// How long does a pod wait for its network? ADD and DEL of dist/cni/flannel in flannel's classic configuration
// against flannel's own chain, against Debian's bridge and host-local alone, and against a C program that makes the
// same system calls; many pods at once, and at a fixed rate; whether pods that are there or addresses in use slow an
// ADD down; and what a mapped port costs.

import { benchBurst } from './cni/burst-part.ts';
import { benchFill } from './cni/fill-part.ts';
import { benchLatency } from './cni/latency-part.ts';
import { benchLoad } from './cni/load-part.ts';
import { benchPorts } from './cni/ports-part.ts';
import { describeReferences, findReferences, prepare } from './cni/prepare.ts';
import { benchPresent } from './cni/present-part.ts';
import { makeSetting } from './cni/setting.ts';
import type { BenchOptions } from './options.ts';
import type { Progress } from './progress.ts';
import { joinResults, type Part, type PartResult } from './result.ts';

const PARTS = [benchLatency, benchBurst, benchLoad, benchPresent, benchFill, benchPorts];

export const cniPart: Part = {
  name: 'cni',
  question: 'How long does a pod wait for its network?',
  seconds: { full: 600, quick: 45 },
  measure,
};

async function measure(options: BenchOptions, progress: Progress): Promise<PartResult> {
  if (process.getuid?.() !== 0) throw new Error('cni needs root: it makes network namespaces');
  const notes: string[] = [];
  const setting = makeSetting();
  const references = findReferences(options, (line) => notes.push(line));
  const bench = prepare({ options, progress }, setting, references);
  const results: PartResult[] = [];
  for (const part of PARTS) results.push(await part(bench));
  const joined = joinResults(results);
  return {
    ...joined,
    notes: [...notes, ...joined.notes],
    about: describeReferences(options, references),
  };
}
