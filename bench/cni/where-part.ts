// Runs weft's ADD with the kernel's trace on, and says where its time goes.

import { mkdtempSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Table } from '../result.ts';
import { openTracing, type TraceSpec } from '../trace/tracefs.ts';
import { traceFile } from './calls.ts';
import { type CniBench, measuringPlan, WEFT, weftVariant } from './part.ts';
import { pairSteps } from './plan.ts';
import { runDriver } from './run-driver.ts';
import { flannelConfig } from './setting.ts';
import { callTable, findExecutions, namedCalls, segmentTable } from './where.ts';

const RUNS = 60;
const PAUSE_MS = 40;
const NETWORK = 'cbr1';
const SHOWN_CALLS = 15;

const EVENTS: readonly TraceSpec[] = [
  {
    name: 'calls',
    follows: true,
    events: { syscalls: '', 'sched/sched_process_exec': '', 'qdisc/qdisc_create': '' },
    others: ['exceptions/page_fault_user'],
  },
];

/** Tables, or why there are none. strace has counted an ADD of weft before. */
export async function whereTimeGoes(bench: CniBench): Promise<{ tables: Table[]; notes: string[] }> {
  const { setting } = bench;
  // A store of addresses of its own: strace's containers are in the other one.
  const weft = weftVariant(bench, WEFT, 0, flannelConfig(setting.scratch, NETWORK));
  const tracing = await openTracing(mkdtempSync(join(setting.scratch, 'tracefs-')), EVENTS);
  if (typeof tracing === 'string') return { tables: [], notes: [`where an ADD goes is left out: ${tracing}`] };
  try {
    const steps = pairSteps(1, RUNS, PAUSE_MS);
    const { plan, from } = measuringPlan(bench, { variants: [weft], floor: undefined, resident: true, pods: 1, steps });
    let driver = 0;
    const { results } = await runDriver(bench, plan, 'weft with the trace on', (pid) => {
      driver = pid;
      tracing.follow([pid]);
      tracing.start();
    });
    const { lines, lost } = tracing.stop();
    const [failure] = results.flatMap(({ failures }) => failures);
    if (failure !== undefined) throw new Error(`tracing system calls: ${failure}`);
    // Looks are no executions, but stand among the steps.
    const before = plan.steps.slice(0, from).filter(({ kind }) => kind === 'call').length;
    const adds = findExecutions(lines, driver, weft.path)
      .slice(before, before + steps.length)
      .filter((_, index) => steps[index]?.command === 'ADD');
    const named = namedCalls(readFileSync(traceFile(setting.scratch, WEFT, 'ADD'), 'utf8'));
    const notes = lost === 0 ? [] : [`the trace lost ${lost} events`];
    return { tables: [segmentTable(adds, named), callTable(adds, named, SHOWN_CALLS)], notes };
  } finally {
    await tracing.close();
  }
}
