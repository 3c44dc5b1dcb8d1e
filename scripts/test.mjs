// `npm test` builds, runs the checks, and then vitest, whose closing line is the last line of the output. Arguments go to vitest. With
// arguments, only some tests are wanted, so the checks are left out.
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { check } from './check.mjs';
import { runToEnd } from './command.mjs';

const repository = dirname(dirname(fileURLToPath(import.meta.url)));

function vitest(args, failedChecks) {
  const command = [join(repository, 'node_modules/vitest/vitest.mjs'), 'run', ...args];
  const env = { ...process.env, WEFT_FAILED_CHECKS: failedChecks.join(' ') };
  return runToEnd(process.execPath, command, { cwd: repository, env });
}

export async function main(_values, args) {
  const script = join(repository, 'scripts/build.mjs');
  const build = spawnSync(process.execPath, [script], { cwd: repository, stdio: 'inherit' });
  if (build.status !== 0) {
    // No test has run yet, but the output must still end with the line that every run has.
    process.stdout.write('0 passed, 1 failed\n');
    return 1;
  }
  return await vitest(args, args.length === 0 ? check() : []);
}
