// `npm run bench`: measures, compares and shows. See README.md beside this file.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { compareRuns, describeComparison, isWorse } from './compare.ts';
import { describeMachine, discloseMachine } from './disclosure.ts';
import { headlineMarkdown, headlineTable } from './headline.ts';
import { isInside, serveInside } from './inside.ts';
import { type BenchCommand, parseBenchArgs } from './options.ts';
import { partsNamed } from './parts.ts';
import { type KeptRun, publishedBlock, withPublished } from './published.ts';
import { faultsBlock, withFaults } from './published-faults.ts';
import { readAssets } from './report/assets.ts';
import { renderReport } from './report/page.ts';
import { type MeasuredPart, type RunResult, readRun, SCHEMA, VERSION, writeRun } from './run-result.ts';
import { describePlan, runParts } from './suite.ts';
import { describeResult, verdictsOf } from './terminal.ts';

const RESULT = 'result.json';

/** Returns the exit code. */
async function main(argv: readonly string[]): Promise<number> {
  const command = parseBenchArgs(argv, process.cwd());
  switch (command.kind) {
    case 'run':
      return await run(command);
    case 'compare': {
      const compared = compareRuns(readRun(command.before), readRun(command.after));
      say(describeComparison(compared));
      return compared.figures.some(isWorse) ? 1 : 0;
    }
    case 'table':
      showHeadline(command);
      return 0;
    case 'report':
      say(`report: ${writeReport(command.result, readRun(command.result), process.cwd())}`);
      return 0;
  }
}

function showHeadline({ results: [first, ...others], into }: BenchCommand & { kind: 'table' }): void {
  const read = (file: string): KeptRun => ({ file, run: readRun(file) });
  const [kept, rest] = [read(first), others.map(read)];
  if (into === undefined) {
    say(headlineMarkdown(kept.run, ...rest.map(({ run }) => run)));
    return;
  }
  const text = withPublished(readFileSync(into, 'utf8'), publishedBlock(into, kept, ...rest));
  writeFileSync(into, withFaults(text, faultsBlock(kept.run)));
}

/** Writes the report beside the result and returns its path. */
function writeReport(file: string, result: RunResult, repository: string): string {
  const report = file.replace(/(\.json)?$/, '.html');
  writeFileSync(report, renderReport(result, readAssets(repository)));
  return report;
}

async function run({ parts: names, options, out }: BenchCommand & { kind: 'run' }): Promise<number> {
  const parts = partsNamed(names, options.quick);
  const machine = discloseMachine(options.repository, '/var/tmp');
  say(`${describeMachine(machine)}\n${describePlan(parts, options.quick)}`);
  const folder = out ?? join(options.repository, 'bench/results/local', machine.taken.replaceAll(/[:.]/g, '-'));
  const measured: MeasuredPart[] = [];
  const file = join(folder, RESULT);
  await runParts(parts, options, process.stderr, (part) => {
    measured.push(part);
    say(`${part.name}: ${part.question} (${part.seconds.toFixed(0)} s)\n\n${describeResult(part, options.quick)}`);
    // The file is written after every part, so that what was measured is kept when somebody ends the run.
    const result: RunResult = { schema: SCHEMA, version: VERSION, machine, quick: options.quick, parts: measured };
    writeRun(file, result);
  });
  const result = readRun(file);
  if (result.parts.some(({ headline }) => headline.length > 0)) say(headlineTable(result));
  say(`raw samples: ${file}\nreport:      ${writeReport(file, result, options.repository)}`);
  return exitCode(measured, options.quick);
}

/** The exit code. Limits do not count in a quick run, which has too few rounds for that. */
function exitCode(parts: readonly MeasuredPart[], quick: boolean): number {
  if (parts.some(({ failures }) => failures.length > 0)) return 1;
  return quick || parts.every((part) => verdictsOf(part).every(({ kept }) => kept)) ? 0 : 1;
}

function say(text: string): void {
  process.stdout.write(`${text}\n\n`);
}

async function inside(): Promise<number> {
  await serveInside((name, options, progress) => {
    const [part] = partsNamed([name], false);
    if (part === undefined) throw new Error(`no part ${name}`);
    return part.measure(options, progress);
  });
  return 0;
}

(isInside() ? inside() : main(process.argv.slice(2))).then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  },
);
