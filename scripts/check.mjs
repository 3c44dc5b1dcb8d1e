// The checks that do not run the program: types, lint and format, dead code. All of them run, even when one fails.
import { spawnSync } from 'node:child_process';
import { realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const repository = dirname(dirname(fileURLToPath(import.meta.url)));

const CHECKS = [
  { name: 'tsc', script: 'typescript/bin/tsc', args: ['--noEmit', '--project', '.'] },
  // Code for a browser is checked with the browser's types.
  { name: 'tsc of the report', script: 'typescript/bin/tsc', args: ['--noEmit', '--project', 'bench/report/client'] },
  {
    name: 'tsc of the map',
    script: 'typescript/bin/tsc',
    args: ['--noEmit', '--project', 'flanneld/cluster/map/client'],
  },
  { name: 'biome', script: '@biomejs/biome/bin/biome', args: ['check', '--error-on-warnings'] },
  { name: 'knip', script: 'knip/bin/knip.js', args: ['--no-progress'] },
];

/** Runs every check and shows its output. Returns the names of those that failed. */
export function check() {
  const failed = CHECKS.filter(({ script, args }) => {
    const options = { cwd: repository, stdio: 'inherit' };
    return spawnSync(process.execPath, [join(repository, 'node_modules', script), ...args], options).status !== 0;
  });
  return failed.map(({ name }) => name);
}

export function main() {
  const failed = check();
  if (failed.length > 0) process.stderr.write(`check: ${failed.join(', ')} failed\n`);
  return failed.length > 0 ? 1 : 0;
}

if (realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) process.exitCode = main();
