// Where does the time of Weft's ADD go? The kernel's trace gives its system calls and their times, sorted into the segments of
// the timeline. strace shows which calls it makes that the C floor does not.

import { compareCalls } from './cni/calls.ts';
import { describeReferences, findReferences, prepare } from './cni/prepare.ts';
import { makeSetting } from './cni/setting.ts';
import { whereTimeGoes } from './cni/where-part.ts';
import type { BenchOptions } from './options.ts';
import type { Progress } from './progress.ts';
import type { Part, PartResult } from './result.ts';

export const wherePart: Part = {
  name: 'where',
  question: 'Where does an ADD go?',
  seconds: { full: 15 },
  measure,
};

async function measure(options: BenchOptions, progress: Progress): Promise<PartResult> {
  if (process.getuid?.() !== 0) throw new Error('where needs root: it makes network namespaces');
  const setting = makeSetting();
  const references = findReferences(options, () => undefined);
  const bench = prepare({ options, progress }, setting, references);
  const counted = await compareCalls(bench);
  const { figures, tables, plots, notes } = await whereTimeGoes(bench);
  return {
    figures,
    tables: [...tables, ...counted],
    ratios: [],
    limits: [],
    failures: [],
    notes,
    plots,
    headline: [],
    about: describeReferences(options, references),
  };
}
