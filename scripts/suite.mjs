// `npm run suite -- NAME`: finds the suite that is meant, lists the suites, or runs all one after the other.
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { SUITES, suiteRows } from './suites.mjs';

const runner = join(dirname(fileURLToPath(import.meta.url)), 'npm-script.mjs');

/** Calls `run` with the suite's entry and its arguments, and returns the exit code. Throws when there is no such suite. */
export async function chooseSuite([name, ...argv], run) {
  if (name === 'list') return list();
  if (name === 'all') return all(argv);
  if (!Object.hasOwn(SUITES, name))
    throw new Error(`no suite "${name}", expected one of ${[...Object.keys(SUITES), 'list', 'all'].join(', ')}`);
  return await run(`suite ${name}`, argv);
}

function list() {
  const rows = suiteRows();
  const width = Math.max(...rows.map(({ name }) => name.length));
  for (const { name, does, takes, needs } of rows) {
    process.stdout.write(
      `${name.padEnd(width)}  ${takes.padStart(6)}  ${does}\n${' '.repeat(width + 10)}needs ${needs}\n`,
    );
  }
  return 0;
}

/** Runs each suite in a process of its own, so that one that crashes does not stop the others. */
function all(argv) {
  if (argv.length > 0) throw new Error(`all takes no argument, got "${argv[0]}"`);
  const failed = Object.keys(SUITES).filter((name) => {
    process.stdout.write(`\n== ${name}\n`);
    return spawnSync(process.execPath, [runner, 'suite', name], { stdio: 'inherit' }).status !== 0;
  });
  const passed = Object.keys(SUITES).length - failed.length;
  process.stdout.write(
    `\n${failed.length > 0 ? `failed suites: ${failed.join(', ')}\n` : ''}${passed} passed, ${failed.length} failed\n`,
  );
  return failed.length === 0 ? 0 : 1;
}
