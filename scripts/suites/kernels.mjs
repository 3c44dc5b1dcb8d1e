// `npm run suite -- kernels`: the tests that depend on the kernel, in virtual machines with Debian's stock kernels, and the main job on each.
// The machines run on emulated processors, so this needs no rights and no hardware support, and takes ten times as long.

import { spawnSync } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { debianKernel, KERNELS } from '../kernels/debian-kernel.mjs';
import { quoted, SLOWNESS, VirtualMachine } from '../kernels/vm.mjs';
import { ensurePackages } from '../setup.mjs';

const repository = fileURLToPath(new URL('../..', import.meta.url));

/** Debian packages, each with a command that shows it is installed. */
const PACKAGES = {
  'qemu-system-x86': 'qemu-system-x86_64',
  'busybox-static': 'busybox',
  cpio: 'cpio',
  kmod: 'depmod',
  'xz-utils': 'xz',
  'wireguard-tools': 'wg',
};

/** What depends on the kernel and takes not more than 25 minutes in a machine. */
const SUBSET = [
  'test/kernels',
  'test/root/netns.test.ts',
  'test/root/rtnetlink.test.ts',
  'test/root/rtnetlink-socket.test.ts',
  'test/root/echoes.test.ts',
  'test/root/cni-attach.test.ts',
  'test/root/cni-detach.test.ts',
  'test/root/agent-device.test.ts',
  'test/root/firewall.test.ts',
];
/** With --all: everything that talks to the kernel. */
const ALL = ['test/kernels', 'test/root', 'test/e2e'];

const LIMIT_MS = 3 * 3600_000;

export async function main(values) {
  ensurePackages(PACKAGES);
  const build = [join(repository, 'scripts/build.mjs'), 'flanneld', 'cni'];
  if (spawnSync(process.execPath, build, { cwd: repository, stdio: 'inherit' }).status !== 0) return 1;
  const folder = join(repository, 'dist/kernels');
  await mkdir(folder, { recursive: true });
  const names = values.kernel ?? KERNELS;
  const files = values.test ?? (values.all ? ALL : SUBSET);
  const rows = [];
  for (const name of names) rows.push(await onKernel(name, { files, folder, hasJob: values.test === undefined }));
  return report(rows);
}

/** Boots one kernel and runs the main job and the tests on it. */
async function onKernel(name, { files, folder, hasJob }) {
  const kernel = await debianKernel(name);
  process.stdout.write(`\n== ${name}: ${kernel.packaged}\n`);
  const startedMs = Date.now();
  const vm = await VirtualMachine.boot(kernel);
  const logFile = join(folder, `${name}.log`);
  const output = createWriteStream(logFile);
  const row = { name, release: kernel.release, job: 'not run', logFile };
  try {
    const env = { WEFT_TEST_SLOWNESS: String(SLOWNESS), WEFT_SUITE: '{}', NO_COLOR: '1' };
    const run = (command) => vm.run(command, { cwd: repository, env, output, limitMs: LIMIT_MS });
    if (hasJob) row.job = (await run('node scripts/run.mjs start --nodes 2 --pods 1')) === 0 ? 'passed' : 'failed';
    await run(
      `node node_modules/vitest/vitest.mjs run --reporter=verbose --reporter=./test/support/ci-reporter.ts ${files.map(quoted).join(' ')}`,
    );
  } finally {
    await new Promise((resolve) => output.end(resolve));
    await vm.stop();
  }
  row.minutes = Math.round((Date.now() - startedMs) / 6000) / 10;
  row.lines = (await readFile(logFile, 'utf8')).trimEnd().split('\n');
  return row;
}

const TOTALS = /^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$/;

/** Prints what failed and was skipped on each kernel, a table, and the sum. Returns the exit code. */
function report(rows) {
  const sum = { passed: 0, failed: 0, skipped: 0 };
  for (const { name, job, lines, logFile } of rows) {
    const shown = lines.filter((line) => /^\s*(×|FAIL) |^skipped \d+:/.test(line));
    process.stdout.write(`\n${[`== ${name} (all output in ${logFile})`, ...shown].join('\n')}\n`);
    const [, passed = 0, failed = 1, skipped = 0] = TOTALS.exec(lines.at(-1) ?? '') ?? [];
    sum.passed += Number(passed) + (job === 'passed' ? 1 : 0);
    sum.failed += Number(failed) + (job === 'failed' ? 1 : 0);
    sum.skipped += Number(skipped);
  }
  process.stdout.write('\nkernel  package            main job  tests                                    minutes\n');
  for (const { name, release, job, lines, minutes } of rows) {
    const totals = TOTALS.test(lines.at(-1) ?? '') ? lines.at(-1) : 'no result';
    process.stdout.write(`${name.padEnd(7)} ${release.padEnd(18)} ${job.padEnd(9)} ${totals.padEnd(40)} ${minutes}\n`);
  }
  process.stdout.write(`${sum.passed} passed, ${sum.failed} failed, ${sum.skipped} skipped\n`);
  return sum.failed === 0 ? 0 : 1;
}
