// Runs the tests of a suite with vitest. When a program is missing that the suite needs and no npm script can install, the command
// fails and says where it looked, instead of skipping tests.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runToEnd } from './command.mjs';
import { ensurePackages } from './setup.mjs';

const repository = dirname(dirname(fileURLToPath(import.meta.url)));
const PLUGIN_FOLDERS = ['/opt/cni/bin', '/usr/lib/cni'];

function split(paths = '') {
  return paths.split(':').filter((folder) => folder !== '');
}

/** One line for each missing program. Servers may be in different folders, but all plugins must be in one. */
function missing({ servers = [], plugins = [] }) {
  const { KUBEBUILDER_ASSETS, PATH, CNI_PATH } = process.env;
  const folders = [...split(KUBEBUILDER_ASSETS), ...split(PATH)];
  const lines = servers
    .filter((name) => !folders.some((folder) => existsSync(join(folder, name))))
    .map((name) => `no ${name} in KUBEBUILDER_ASSETS (${KUBEBUILDER_ASSETS || 'not set'}) and PATH (${PATH})`);
  const hasAll = (folder) => plugins.every((name) => existsSync(join(folder, name)));
  if (![...split(CNI_PATH), ...PLUGIN_FOLDERS].some(hasAll)) {
    const where = `CNI_PATH (${CNI_PATH || 'not set'}), ${PLUGIN_FOLDERS.join(', ')}`;
    lines.push(`no folder with ${plugins.join(', ')} among ${where}`);
  }
  return lines;
}

/** Installs Debian's packages and returns one line for everything that is still missing. */
function unmet({ servers, plugins, packages }) {
  const lines = missing({ servers, plugins });
  if (lines.length > 0) return lines.map((line) => `found ${line}`);
  try {
    ensurePackages(packages);
    return [];
  } catch (error) {
    return [error.message];
  }
}

/**
 * Runs vitest on `files`, or on what `args` name, and resolves to its exit code. `values` are the suite's options, which the tests read
 * with test/support/suite-options.ts. `packages` are Debian packages, each with a file or command that shows it is installed.
 * `prepare` makes whatever else the suite needs.
 */
export async function testSuite({
  command,
  programs,
  packages = {},
  prepare,
  files,
  args = [],
  values = {},
  ...needed
}) {
  const lines = unmet({ ...needed, packages });
  if (lines.length > 0) {
    for (const line of lines) process.stderr.write(`${command}: ${line}\n`);
    process.stdout.write('0 passed, 1 failed\n');
    return 1;
  }
  const build = [join(repository, 'scripts/build.mjs'), ...programs];
  if (spawnSync(process.execPath, build, { cwd: repository, stdio: 'inherit' }).status !== 0) return 1;
  await prepare?.();
  return await runVitest(args.length === 0 ? files : args, values);
}

/** Runs vitest with the tests that `npm test` leaves out, one line for each test. */
export async function runVitest(args, values = {}) {
  const reporters = ['--reporter=verbose', '--reporter=./test/support/ci-reporter.ts'];
  const command = [join(repository, 'node_modules/vitest/vitest.mjs'), 'run', ...reporters, ...args];
  const env = { ...process.env, WEFT_SUITE: JSON.stringify(values) };
  return await runToEnd(process.execPath, command, { cwd: repository, env });
}
