// How long does it take from "the runtime asks for a network" to "a packet arrives in a pod on another node"? This part records
// a timeline for each of many pods on a lab of two nodes: with UDP, with ICMP, and as a control without senders. It does the
// same with the references that could attach the pods instead, and finds what makes a first packet slower than the next.

import { existsSync, mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { type Lab, startLab } from '../test/lab/lab.ts';
import type { LabNode } from '../test/lab/lab-node.ts';
import { childrenOf } from '../test/lab/processes.ts';
import { findChain, findDebianPlugins, type Reference } from './cni/references.ts';
import { makeSetting, type Setting } from './cni/setting.ts';
import type { BenchOptions } from './options.ts';
import { measureCauses } from './packet/causes.ts';
import { requireIcmp } from './packet/icmp-socket.ts';
import { causeTable, describePods } from './packet/packet-figures.ts';
import { measureRounds, podsARound, type Site } from './packet/packet-rounds.ts';
import { comparedVariants, type Programs } from './packet/variants.ts';
import type { Progress } from './progress.ts';
import type { Part, PartResult } from './result.ts';
import { MILESTONE_EVENTS } from './trace/milestones.ts';
import { openTracing, type Tracing } from './trace/tracefs.ts';

const PODS = 40;
const QUICK_PODS = 6;
const CAUSE_ROUNDS = 40;
const QUICK_CAUSE_ROUNDS = 15;

export const packetPart: Part = {
  name: 'packet',
  question: 'How long from the runtime’s call to the first packet on another node?',
  seconds: { full: 180, quick: 20 },
  measure,
};

/** The result says DISTURBED when the senders changed how long ADD takes. Needs root. */
async function measure(options: BenchOptions, progress: Progress): Promise<PartResult> {
  if (process.getuid?.() !== 0) throw new Error('packet needs root: it makes network namespaces');
  await requireIcmp();
  const setting = makeSetting();
  progress.step('packet: lab of two nodes', 0, 1);
  const lab = await startLab({ nodes: 2 });
  try {
    return await measureLab(lab, setting, options, progress);
  } finally {
    await lab.down();
  }
}

async function measureLab(lab: Lab, setting: Setting, options: BenchOptions, progress: Progress): Promise<PartResult> {
  const { quick, runs = quick ? QUICK_PODS : PODS } = options;
  const [node, other] = lab.nodes;
  if (node === undefined || other === undefined) throw new Error('packet needs two nodes');
  const notes: string[] = [];
  const target = await other.addPod();
  // The first pod on a node creates the bridge, so that no measured pod pays for it.
  const pod = await node.addPod();
  const devices = JSON.parse(await node.run(['ip', '-details', '-json', 'link']));
  const programs = findPrograms(options, (line) => notes.push(line));
  const variants = comparedVariants(node, setting, programs);
  const tracing = await traceOf(node, setting.scratch);
  if (typeof tracing === 'string') notes.push(`T1 to T4 are left out: ${tracing}`);
  const site: Site = { node, target, variants, ...(typeof tracing === 'string' ? {} : { tracing }) };
  try {
    let done = 0;
    const samples = await measureRounds(site, runs, () => {
      done += 1;
      progress.step('packet: pods', done, runs * podsARound(site));
    });
    const rounds = options.runs ?? (quick ? QUICK_CAUSE_ROUNDS : CAUSE_ROUNDS);
    const causes = await measureCauses({ node, pod, other, target: await other.addPod() }, rounds, (step, total) =>
      progress.step('packet: first packets', step, total),
    );
    const pods = describePods(samples, variants);
    return {
      ...pods,
      figures: [...pods.figures, ...causes.figures],
      tables: [...pods.tables, causeTable(causes.figures)],
      failures: [...pods.failures, ...causes.failures],
      notes: [...notes, ...pods.notes, ...causes.notes],
      about: { devices, ...describePrograms(programs) },
    };
  } finally {
    if (typeof tracing !== 'string') await tracing.close();
  }
}

/** Opens a trace that follows what the node's runtime executes, or says why there is none. */
async function traceOf(node: LabNode, scratch: string): Promise<Tracing | string> {
  const tracing = await openTracing(mkdtempSync(join(scratch, 'tracefs-')), MILESTONE_EVENTS);
  // The runtime is a child of the node's first process. The agent is a child of the runtime but already runs, so it is not followed.
  if (typeof tracing !== 'string') tracing.follow(childrenOf(node.pid));
  return tracing;
}

function findPrograms({ repository, peer }: BenchOptions, note: (line: string) => void): Programs {
  if (peer === undefined) note('flannel chain was not measured: name a folder with its executables, --peer DIR');
  const built = join(repository, 'dist/bench');
  const hasFloor = existsSync(join(built, 'floor'));
  if (!hasFloor) note(`C floor was not measured: no ${built}/floor, npm run bench makes it`);
  return {
    weft: { folder: join(repository, 'dist/cni'), description: 'dist/cni/flannel' },
    floor: hasFloor ? { folder: built, description: 'bench/floor, the same system calls in C' } : undefined,
    debian: findDebianPlugins(note),
    chain: peer === undefined ? undefined : findChain(peer),
  };
}

function describePrograms(programs: Programs): Record<string, string> {
  const all = Object.entries(programs) as [string, Reference | undefined][];
  return Object.fromEntries(all.map(([name, found]) => [name, found?.description ?? 'not measured']));
}
