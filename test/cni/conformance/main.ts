// npm run conformance -- --bin DIR: holds the executables in a folder to the contract's rows.

import { writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { pluginNames, releases, type Subject } from './case.ts';
import { cnitoolDriver, labDriver } from './chain-drivers.ts';
import { renderDocument } from './document.ts';
import type { ChainDriver } from './driver.ts';
import { isExecutable } from './machine.ts';
import { failureLine, summary } from './report.ts';
import { type RunOptions, runCases } from './run-cases.ts';
import { allCases } from './table.ts';

/** The options that scripts/commands.mjs declares. */
interface Values {
  readonly bin?: string;
  readonly reference?: boolean;
  readonly release?: string;
  readonly plugin?: string[];
  readonly case?: string[];
  readonly jobs?: string;
  readonly json?: string;
  readonly verbose?: boolean;
  readonly list?: boolean;
  readonly table?: boolean;
}

/** Resolves with the exit code: 0 when every case that ran has passed, 1 when one failed, 2 for wrong arguments. */
export async function main(values: Values): Promise<number> {
  const problem = problemOf(values);
  if (problem !== undefined) {
    process.stderr.write(`npm run conformance: ${problem} (--help lists the options)\n`);
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

/** What is wrong with the arguments, in one line. */
function problemOf(values: Values): string | undefined {
  if (values.bin === undefined && values.list !== true && values.table !== true) return '--bin DIR is missing';
  if (values.release !== undefined && !releases.some((release) => release === values.release)) {
    return `--release is one of ${releases.join(', ')}`;
  }
  const unknown = values.plugin?.find((name) => name !== 'chain' && !pluginNames.some((known) => known === name));
  return unknown === undefined ? undefined : `--plugin: there are no cases of ${unknown}`;
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

/** cnitool, the reference's own tool, when it lies beside the reference plugins. */
function chainDriver({ reference, bin = '' }: Values): ChainDriver | undefined {
  if (reference !== true) return labDriver;
  const tool = resolve(bin, 'cnitool');
  return isExecutable(tool) ? cnitoolDriver(tool) : undefined;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
