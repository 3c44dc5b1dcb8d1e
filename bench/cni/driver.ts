// The program that measures the plugins. It is a static executable, built like the CNI executable, so that starting a plugin from
// it costs little and always the same. It reads a Plan from stdin, does its steps, and writes a PlanResult to stdout and its
// progress to stderr. It must be started in network and mount namespaces of its own.

import { sleepMs } from '../../lib/sys/clock.ts';
import { readAll } from '../../lib/sys/file.ts';
import { openHostSyscalls, type ProgramOutput } from '../../lib/sys/host.ts';
import type { Syscalls } from '../../lib/sys/syscalls.ts';
import { runBurst } from './burst.ts';
import { enterNode, inspectAttachment, leftoverLinks, makeNodes } from './call-namespaces.ts';
import { callPlugin } from './launch.ts';
import type { Plan, PlanResult, Step, StepResult, Variant } from './plan.ts';

const MAX_PLAN_BYTES = 4 * 1024 * 1024;
const PR_SET_PDEATHSIG = 1;
const SIGKILL = 9;
/** Steps between two lines of progress. */
const PROGRESS_STEPS = 8;

/** Called once by the host. */
export function main(): ProgramOutput {
  const sys = openHostSyscalls();
  // The driver is killed when its parent ends, because nobody needs the answer then.
  sys.call(sys.nr.prctl, PR_SET_PDEATHSIG, SIGKILL);
  const plan: Plan = JSON.parse(sys.arena.decode(readAll(sys, 0, MAX_PLAN_BYTES, 'stdin')));
  const nodes = makeNodes(sys, plan);
  const results: StepResult[] = [];
  for (const step of plan.steps) {
    if (results.length % PROGRESS_STEPS === 0) report(sys, results.length);
    const variant = plan.variants[step.variant];
    const node = variant === undefined ? undefined : nodes[variant.node];
    if (variant === undefined || node === undefined) throw new Error(`no variant ${step.variant}, or no node for it`);
    enterNode(sys, node);
    if (step.pauseMs > 0) sleepMs(sys, step.pauseMs);
    results.push(run(sys, plan, variant, step));
  }
  const leftovers = nodes.map((node) => {
    enterNode(sys, node);
    return leftoverLinks(sys);
  });
  const result: PlanResult = { results, leftovers };
  return { code: 0, stdout: JSON.stringify(result) };
}

function run(sys: Syscalls, { scratch }: Plan, variant: Variant, step: Step): StepResult {
  switch (step.kind) {
    case 'call': {
      const { us, failure } = callPlugin(sys, scratch, variant, step.command, step.attachment);
      return { us, failures: failure === undefined ? [] : [failure] };
    }
    case 'burst':
      return runBurst(sys, scratch, variant, step);
    case 'inspect':
      return { us: 0, failures: [], found: inspectAttachment(sys, scratch, step.attachment.pod) };
  }
}

function report(sys: Syscalls, done: number): void {
  sys.arena.scope(() => {
    const line = sys.arena.copy(sys.arena.encode(`${done}\n`));
    sys.call(sys.nr.write, 2, line.address, line.length);
  });
}
