// Runs Weft's ADD and the C floor's while the kernel traces them, and shows where their time goes.

import { mkdtempSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Figure, Plot, Table } from '../result.ts';
import { openTracing, type TraceSpec } from '../trace/tracefs.ts';
import { traceFile } from './calls.ts';
import { type CniBench, FLOOR, measuringPlan, slug, WEFT, weftVariant } from './part.ts';
import { pairSteps, type Variant } from './plan.ts';
import { runDriver } from './run-driver.ts';
import { flannelConfig, variantOf } from './setting.ts';
import {
  callTable,
  type Execution,
  findExecutions,
  namedCalls,
  segmentFigures,
  segmentTable,
} from './system-call-times.ts';

const RUNS = 60;
const PAUSE_MS = 40;
const SHOWN_CALLS = 12;

const EVENTS: readonly TraceSpec[] = [
  {
    name: 'calls',
    follows: true,
    events: { syscalls: '', 'sched/sched_process_exec': '', 'qdisc/qdisc_create': '' },
    others: ['exceptions/page_fault_user'],
  },
];

export interface WhereTimeGoes {
  readonly figures: readonly Figure[];
  readonly tables: readonly Table[];
  readonly plots: readonly Plot[];
  /** Why nothing could be traced, if so. */
  readonly notes: readonly string[];
}

/** Needs the strace output of an ADD of both, which was recorded before. */
export async function whereTimeGoes(bench: CniBench): Promise<WhereTimeGoes> {
  const { setting, weft, floor } = bench;
  const config = flannelConfig(setting.scratch);
  const variants = [weftVariant(bench, WEFT, 0, config), variantOf(FLOOR, 1, floor, { cniPath: weft, config })];
  const traced = await traceAdds(bench, variants);
  if (typeof traced === 'string') {
    return { figures: [], tables: [], plots: [], notes: [`where an ADD goes is left out: ${traced}`] };
  }
  const { executions, lost } = traced;
  const named = variants.map(({ name }) => namedCalls(readFileSync(traceFile(setting.scratch, name, 'ADD'), 'utf8')));
  const [ours = [], calls = []] = [executions[0], named[0]];
  const figures = variants.map(({ name }, index) =>
    segmentFigures(name, slug(name), executions[index] ?? [], named[index] ?? []),
  );
  return {
    figures: figures.flat(),
    plots: variants.map(({ name }, index) => stackedPlot(name, figures[index] ?? [])),
    tables: [
      ...variants.map(({ name }, index) => segmentTable(name, executions[index] ?? [], named[index] ?? [])),
      callTable(ours, calls, SHOWN_CALLS),
    ],
    notes: lost === 0 ? [] : [`the trace lost ${lost} events`],
  };
}

function stackedPlot(whose: string, figures: readonly Figure[]): Plot {
  const segments = figures.map(({ key, name }) => ({ name: name.slice(0, name.lastIndexOf(', ')), figure: key }));
  return { kind: 'stacked', title: `ADD of ${whose}, traced`, bar: 'ADD', segments };
}

/** The traced ADDs of each variant, which took turns; or one line that says why tracing is not possible. */
async function traceAdds(
  bench: CniBench,
  variants: readonly Variant[],
): Promise<{ executions: Execution[][]; lost: number } | string> {
  const tracing = await openTracing(mkdtempSync(join(bench.setting.scratch, 'tracefs-')), EVENTS);
  if (typeof tracing === 'string') return tracing;
  try {
    const steps = pairSteps(variants.length, RUNS, PAUSE_MS);
    const floor = variants.find(({ name }) => name === FLOOR);
    const { plan, from } = measuringPlan(bench, { variants, floor, resident: true, pods: variants.length, steps });
    let driver = 0;
    const { results } = await runDriver(bench, plan, 'weft and the C floor with the trace on', (pid) => {
      driver = pid;
      tracing.follow([pid]);
      tracing.start();
    });
    const { lines, lost } = tracing.stop();
    const [failure] = results.flatMap(({ failures }) => failures);
    if (failure !== undefined) throw new Error(`tracing system calls: ${failure}`);
    // Inspections are steps, too, but execute no plugin, so only calls are counted.
    const before = plan.steps.slice(0, from).filter(({ kind }) => kind === 'call').length;
    const measured = findExecutions(lines, driver).slice(before, before + steps.length);
    const addsOf = (variant: number): Execution[] =>
      measured.filter((_, index) => steps[index]?.variant === variant && steps[index]?.command === 'ADD');
    return { executions: variants.map((_, variant) => addsOf(variant)), lost };
  } finally {
    await tracing.close();
  }
}
