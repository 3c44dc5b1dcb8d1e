// Runs suites that need published servers, which no npm script can install. When one is missing, the command fails and says where it
// looked, instead of skipping tests.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ensurePackages } from './setup.mjs';

const repository = dirname(dirname(fileURLToPath(import.meta.url)));
const PLUGIN_FOLDERS = ['/opt/cni/bin', '/usr/lib/cni'];

function split(paths = '') {
  return paths.split(':').filter((folder) => folder !== '');
}

/** One line for each missing program. Servers may be in different folders, but all plugins must be in one. */
function missing({ servers, plugins = [] }) {
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

function run(script, args) {
  const env = { ...process.env, WEFT_WITH_SERVERS: '1' };
  return spawnSync(process.execPath, [join(repository, script), ...args], { cwd: repository, stdio: 'inherit', env })
    .status;
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
 * Runs vitest on `suites`, or on what `args` name, and returns its exit code. `packages` are Debian packages, each with a file or
 * command that shows it is installed. `prepare` makes whatever else the suites need.
 */
export function testWithServers({ command, programs, servers, plugins, packages = {}, prepare, suites, args }) {
  const lines = unmet({ servers, plugins, packages });
  if (lines.length > 0) {
    for (const line of lines) process.stderr.write(`${command}: ${line}\n`);
    process.stdout.write('0 passed, 1 failed\n');
    return 1;
  }
  if (run('scripts/build.mjs', programs) !== 0) return 1;
  prepare?.();
  return run('node_modules/vitest/vitest.mjs', ['run', ...(args.length === 0 ? suites : args)]) ?? 1;
}
