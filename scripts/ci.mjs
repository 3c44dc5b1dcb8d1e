// `.ci/run` runs `npm test` as on a fresh machine (fresh.mjs). Then it runs the tests that could not run there with everything that this
// machine has. The last line of the output is the result of both. Arguments go to `npm test`.
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runToEnd } from './command.mjs';
import { runFresh } from './fresh.mjs';
import { setUp } from './setup.mjs';
import { closingLines, hasFailed, joinRows, lacking, selection } from './tally.mjs';

const repository = dirname(dirname(fileURLToPath(import.meta.url)));
const BROKEN = { failures: 1, tests: [] };

/** Runs one row. Resolves to the tally that `run` writes into a file; a row that writes none has failed. */
async function row(title, folder, run) {
  process.stdout.write(`\n--- ${title}\n`);
  const file = join(folder, 'results.json');
  rmSync(file, { force: true });
  const code = await run({ cwd: repository, env: { ...process.env, WEFT_RESULTS: file } });
  const tally = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : BROKEN;
  return code === 0 || hasFailed(tally) ? tally : { ...tally, failures: 1 };
}

async function main(args, folder) {
  // Set-up comes first: what it installs must not be hidden, and nothing can be installed into hidden folders.
  if (!setUp()) return BROKEN;
  const npmTest = ['npm', '--silent', 'test', '--', ...args];
  const first = await row('as on a fresh machine: npm test', folder, (options) => runFresh(npmTest, options));
  const left = lacking(first);
  if (left.length === 0) return first;
  const vitest = [join(repository, 'node_modules/vitest/vitest.mjs'), 'run', ...selection(left)];
  const second = await row(`with what this machine has: ${left.length} tests that need more`, folder, (options) =>
    runToEnd(process.execPath, vitest, options),
  );
  return joinRows(first, second);
}

const folder = mkdtempSync(join(tmpdir(), 'weft-ci-'));
let tally = BROKEN;
try {
  tally = await main(process.argv.slice(2), folder);
} catch (error) {
  process.stderr.write(`.ci/run: ${error.message}\n`);
} finally {
  rmSync(folder, { recursive: true });
}
process.stdout.write(`\n${closingLines(tally)}`);
process.exitCode = hasFailed(tally) ? 1 : 0;
