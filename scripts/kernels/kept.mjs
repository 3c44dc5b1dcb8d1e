// The kept results of the suite `kernels`: one file for each kernel in test/kernels/results, and the README's table made from them.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { kernelTable } from './features.mjs';

const repository = fileURLToPath(new URL('../..', import.meta.url));
const folder = join(repository, 'test/kernels/results');
const README = join(repository, 'README.md');
const BIOME = join(repository, 'node_modules/@biomejs/biome/bin/biome');
const BEGIN = '<!-- written by npm run suite -- kernels --keep -->\n';
const END = '<!-- the end of what that wrote -->\n';

/**
 * Enters the results of one run into the file of its kernel; test files that were not run keep their earlier result. The minutes are those
 * of a run without --test: the time that passed, which depends on what else the host did, and the processor time, which hardly does.
 */
export function keep({ name, packaged, job, files, minutes, processorMinutes }) {
  mkdirSync(folder, { recursive: true });
  const path = join(folder, `${name}.json`);
  const before = existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : { files: {} };
  const all = { ...before.files, ...files };
  const sorted = Object.fromEntries(Object.entries(all).sort(([a], [b]) => (a < b ? -1 : 1)));
  const took = minutes === undefined ? before : { minutes, processorMinutes };
  const kept = {
    name,
    packaged,
    job: job ?? before.job,
    minutes: took.minutes,
    processorMinutes: took.processorMinutes,
    files: sorted,
  };
  writeFileSync(path, `${JSON.stringify(kept, null, 2)}\n`);
  // Otherwise the check of the repository's format fails after a run that kept something.
  execFileSync(process.execPath, [BIOME, 'format', '--write', path], { cwd: repository });
}

/** All kept results, the oldest kernel first. */
function keptResults() {
  const version = ({ name }) => name.split('.').map(Number);
  const results = readdirSync(folder).map((file) => JSON.parse(readFileSync(join(folder, file), 'utf8')));
  return results.sort((a, b) => version(a)[0] - version(b)[0] || version(a)[1] - version(b)[1]);
}

/** The README with the table of the kept results. */
export function readmeWithTable(text = readFileSync(README, 'utf8')) {
  const [from, to] = [text.indexOf(BEGIN), text.indexOf(END)];
  if (from < 0 || to < from) throw new Error('README.md: the place of the table of kernels is missing');
  return `${text.slice(0, from + BEGIN.length)}${kernelTable(keptResults())}\n${text.slice(to)}`;
}

export function writeReadme() {
  writeFileSync(README, readmeWithTable());
}
