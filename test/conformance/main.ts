// npm run conformance -- --bin DIR: holds the executables in a folder to the contract's rows.

import { writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { pluginNames, releases, type Subject } from './case.ts';
import { cnitoolDriver, labDriver } from './chain-drivers.ts';
import { renderDocument } from './document.ts';
import type { ChainDriver } from './driver.ts';
import { isExecutable } from './machine.ts';
import { failureLine, summary } from './report.ts';
import { type RunOptions, runCases } from './run.ts';
import { allCases } from './table.ts';

const USAGE = `usage: npm run conformance -- --bin DIR [options]
  --bin DIR            the executables: flannel, bridge, host-local, loopback, portmap, bandwidth, as far as they are there
  --reference          hold them to what the reference plugins do, where ours differ on purpose
  --release VERSION    with --reference: release of those plugins (0.9.1, 1.1.1, main); found out when not given
  --plugin NAME        only cases of this one (repeatable)
  --case ID            only this row or case (repeatable): 54, 2a, 2a@bridge
  --jobs N             cases at a time (3)
  --json FILE          write one report a case
  --verbose            a line for every case, and what was called and answered for a failed one
  --list               print the cases, run none
  --table              print the cases as a document (cni-plugin/CONFORMANCE.md), run none
`;

const options = {
  bin: { type: 'string' },
  reference: { type: 'boolean' },
  release: { type: 'string' },
  plugin: { type: 'string', multiple: true },
  case: { type: 'string', multiple: true },
  jobs: { type: 'string' },
  json: { type: 'string' },
  verbose: { type: 'boolean' },
  list: { type: 'boolean' },
  table: { type: 'boolean' },
} as const;

type Values = ReturnType<typeof parseArgs<{ options: typeof options }>>['values'];

/** Resolves with the exit code: 0 = every case that ran passed, 1 = not, 2 = wrong use. */
export async function main(argv: readonly string[]): Promise<number> {
  const values = readArguments(argv);
  if (typeof values === 'string') {
    process.stderr.write(`${values}\n${USAGE}`);
    return 2;
  }
  if (values.list === true) {
    for (const { id, plugin, title } of allCases) print(`${id} (${plugin}) ${title}`);
    return 0;
  }
  if (values.table === true) {
    process.stdout.write(renderDocument(allCases));
    return 0;
  }
  const reports = await runCases(allCases, runOptions(values));
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(reports, null, 2)}\n`);
  for (const line of summary(reports)) print(line);
  const ran = reports.filter(({ outcome }) => outcome !== 'skipped');
  return ran.length > 0 && ran.every(({ outcome }) => outcome === 'passed') ? 0 : 1;
}

function readArguments(argv: readonly string[]): Values | string {
  let values: Values;
  try {
    ({ values } = parseArgs({ args: [...argv], options, strict: true }));
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  if (values.bin === undefined && values.list !== true && values.table !== true) return '--bin is missing';
  if (values.release !== undefined && !releases.some((release) => release === values.release)) {
    return `--release is one of ${releases.join(', ')}`;
  }
  const unknown = values.plugin?.find((name) => name !== 'chain' && !pluginNames.some((known) => known === name));
  return unknown === undefined ? values : `there are no cases of ${unknown}`;
}

function runOptions(values: Values): RunOptions {
  const verbose = values.verbose === true;
  return {
    executables: resolve(values.bin ?? ''),
    held: values.reference === true ? 'reference' : 'ours',
    release: releases.find((release) => release === values.release),
    plugins: values.plugin as Subject[] | undefined,
    ids: values.case,
    driver: chainDriver(values),
    ...(values.jobs === undefined ? {} : { jobs: Number(values.jobs) }),
    onReport: (report) => {
      if (report.outcome === 'failed') print(failureLine(report));
      else if (verbose)
        print(`${report.outcome} ${report.id} (${report.plugin}) ${report.title}: ${Math.round(report.durMs)} ms`);
      if (verbose && report.outcome === 'failed') for (const line of report.transcript ?? []) print(`    ${line}`);
    },
  };
}

/** The reference's own tool where it lies beside its plugins. */
function chainDriver({ reference, bin = '' }: Values): ChainDriver | undefined {
  if (reference !== true) return labDriver;
  const tool = resolve(bin, 'cnitool');
  return isExecutable(tool) ? cnitoolDriver(tool) : undefined;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
