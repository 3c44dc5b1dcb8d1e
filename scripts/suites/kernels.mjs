// `npm run suite -- kernels`: the tests that depend on the kernel, in virtual machines with Debian's stock kernels, and the main job on each.
// The machines run on emulated processors, so this needs no rights and no hardware support, and takes ten times as long.

import { spawnSync } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { copyFile, mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundleBench } from '../bench.mjs';
import { run as runProgram } from '../command.mjs';
import { debianKernel, KERNELS } from '../kernels/debian-kernel.mjs';
import { byFile, FEATURES, WITHOUT } from '../kernels/features.mjs';
import { keep, writeReadme } from '../kernels/kept.mjs';
import { PACKAGES, quoted, SLOWNESS, VirtualMachine } from '../kernels/vm.mjs';
import { bundleLab } from '../lab-bundle.mjs';
import { ensurePackages } from '../setup.mjs';
import { closingLines } from '../tally.mjs';
import { prepareTestPrograms } from '../test-programs.mjs';

const repository = fileURLToPath(new URL('../..', import.meta.url));
const VITEST = 'node node_modules/vitest/vitest.mjs';

/** The file that stands for the main job among those of --test. */
const MAIN_JOB_FILE = 'scripts/kernels/main-job.mjs';

const SUBSET = FEATURES.filter(({ isLong }) => !isLong).flatMap(({ files }) => files);
/** With --all, everything that uses the kernel. */
const ALL = ['test/kernels', 'test/root', 'test/e2e'];

const LIMIT_MS = 3 * 3600_000;
/** A machine has one processor. */
const AT_A_TIME = 2;

export async function main(values) {
  ensurePackages(PACKAGES);
  const build = [join(repository, 'scripts/build.mjs'), 'flanneld', 'cni'];
  if (spawnSync(process.execPath, build, { cwd: repository, stdio: 'inherit' }).status !== 0) return 1;
  const folder = join(repository, 'dist/kernels');
  await mkdir(folder, { recursive: true });
  await bundleLab();
  if (values.bench) return await benchAll(values);
  const programs = join(folder, 'programs');
  await rm(programs, { recursive: true, force: true });
  await prepareTestPrograms(programs);
  const wanted = values.test ?? [MAIN_JOB_FILE, ...(values.all ? ALL : SUBSET)];
  const hasJob = wanted.includes(MAIN_JOB_FILE);
  const files = wanted.filter((file) => file !== MAIN_JOB_FILE);
  await transform([...files, WITHOUT.file]);
  const rows = [];
  const left = [...(values.kernel ?? KERNELS)];
  const next = async () => {
    for (let name = left.shift(); name !== undefined; name = left.shift()) {
      const startedMs = Date.now();
      const row = await onKernel(name, { files, folder, programs, hasJob, isAll: values.all });
      if (values.test === undefined) {
        row.minutes = minutesSince(startedMs);
        row.processorMinutes = Math.round(row.processor * 10) / 10;
      }
      rows.push(row);
      if (values.keep) keep(row);
    }
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, next));
  if (values.keep) writeReadme();
  return report(rows);
}

/** Lets vitest translate the TypeScript of the tests for Node, and stores the result, so that the slow machine need not do it. */
async function transform(files) {
  const argv = ['node_modules/vitest/vitest.mjs', 'list', '--experimental.fsModuleCache', ...files];
  await runProgram(process.execPath, argv, { cwd: repository, env: { ...process.env, WEFT_SUITE: '{}' } });
}

/** Boots one kernel and runs the main job and the tests on it. Tests that need a kernel without some modules run on a second machine. */
async function onKernel(name, { files, folder, programs, hasJob, isAll }) {
  const kernel = await debianKernel(name);
  process.stdout.write(`\n== ${name}: ${kernel.packaged}\n`);
  const logFile = join(folder, `${name}.log`);
  const output = createWriteStream(logFile);
  const row = { name, packaged: kernel.packaged, logFile, processor: 0, tally: { failures: 0, tests: [] } };
  try {
    const others = files.filter((file) => file !== WITHOUT.file);
    if (hasJob || others.length > 0) {
      const options = { programs, output, files: others, hasJob };
      Object.assign(row, await onMachine(kernel, [], options));
    }
    if (others.length < files.length || isAll) {
      const { tally, processor } = await onMachine(kernel, WITHOUT.modules, {
        programs,
        output,
        files: [WITHOUT.file],
      });
      row.processor += processor;
      row.tally = { failures: row.tally.failures + tally.failures, tests: [...row.tally.tests, ...tally.tests] };
    }
  } finally {
    await new Promise((resolve) => output.end(resolve));
  }
  row.files = byFile(row.tally, await commit());
  return row;
}

/** Boots a machine without some modules, and runs there the main job, if it is chosen, and test files. */
async function onMachine(kernel, without, { programs, output, files, hasJob }) {
  const vm = await VirtualMachine.boot(kernel, { without });
  try {
    const env = {
      ...commonEnv(),
      WEFT_TEST_PROGRAMS: programs,
      WEFT_RESULTS: vm.pathInside('results.json'),
      WEFT_SUITE: '{}',
      WEFT_VIRTUAL_MACHINE: '1',
    };
    const run = (command) => vm.run(command, { cwd: repository, env, output, limitMs: LIMIT_MS });
    const job = hasJob && { job: (await run(`node ${MAIN_JOB_FILE}`)) === 0 ? 'passed' : '**failed**' };
    if (files.length === 0) return { ...job, processor: vm.processorMinutes };
    const options = '--experimental.fsModuleCache --reporter=verbose --reporter=./test/support/ci-reporter.ts';
    await run(`${VITEST} run ${options} ${files.map(quoted).join(' ')}`);
    const tally = JSON.parse(await readFile(vm.pathOutside('results.json'), 'utf8').catch(() => NO_RESULTS));
    return { ...job, tally, processor: vm.processorMinutes };
  } finally {
    await vm.stop();
  }
}

function commonEnv() {
  const { KUBEBUILDER_ASSETS } = process.env;
  return { WEFT_TEST_SLOWNESS: String(SLOWNESS), NO_COLOR: '1', ...(KUBEBUILDER_ASSETS && { KUBEBUILDER_ASSETS }) };
}

/** Measures the backends on each kernel, one after the other, since two machines would disturb each other. */
async function benchAll({ kernel = KERNELS, keep: isKept }) {
  await bundleBench();
  let worst = 0;
  for (const name of kernel) {
    const found = await debianKernel(name);
    process.stdout.write(`\n== ${name}: ${found.packaged}\n`);
    const vm = await VirtualMachine.boot(found, { countsInstructions: true });
    try {
      const out = vm.pathInside('bench');
      const command = `node --enable-source-maps dist/bench/main.mjs backends --out ${quoted(out)}`;
      const code = await vm.run(command, { cwd: repository, env: commonEnv(), limitMs: LIMIT_MS });
      worst = Math.max(worst, code);
      const folder = join(repository, 'bench/results', isKept ? 'backends' : 'local/backends', name);
      await mkdir(folder, { recursive: true });
      await copyFile(join(vm.pathOutside('bench'), 'result.json'), join(folder, 'result.json'));
    } finally {
      await vm.stop();
    }
  }
  return worst;
}

/** The result of a run that ended without one. */
const NO_RESULTS = JSON.stringify({ failures: 1, tests: [] });

function minutesSince(startedMs) {
  return Math.round((Date.now() - startedMs) / 6000) / 10;
}

async function commit() {
  const hash = await runProgram('git', ['rev-parse', '--short', 'HEAD'], { cwd: repository });
  return hash.trim();
}

/** Prints what failed and was skipped on each kernel, a table, and the sum. Returns the exit code. */
function report(rows) {
  const sum = { failures: 0, tests: [] };
  for (const { name, tally, job, logFile } of rows) {
    const failed = tally.tests.filter(({ state }) => state === 'failed');
    const lines = failed.map(({ file, names }) => `failed: ${file}: ${names.join(' › ')}`);
    process.stdout.write(`\n${[`== ${name} (all output in ${logFile})`, ...lines].join('\n')}\n${closingLines(tally)}`);
    sum.failures += tally.failures;
    sum.tests.push(...tally.tests);
    if (job !== undefined)
      sum.tests.push({ file: 'main job', names: [], state: job === 'passed' ? 'passed' : 'failed' });
  }
  process.stdout.write('\nkernel  main job    minutes  of a processor  package\n');
  for (const { name, packaged, processor, job = 'not run', minutes = '' } of rows) {
    const cells = [
      name.padEnd(7),
      job.padEnd(11),
      String(minutes).padEnd(8),
      processor.toFixed(1).padEnd(15),
      packaged,
    ];
    process.stdout.write(`${cells.join(' ')}\n`);
  }
  process.stdout.write(`\n${closingLines(sum)}`);
  return sum.failures > 0 || sum.tests.some(({ state }) => state === 'failed') ? 1 : 0;
}
