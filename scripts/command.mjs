// What the build scripts share: running a command, and where things are kept between builds.

import { execFile } from 'node:child_process';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** The folder outside the repository in which fetched sources and compiled engines are kept. */
export function cacheFolder() {
  return join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'weft');
}

/** Runs a command and resolves to its stdout; rejects with one line: the command, and the first error it told. */
export function run(file, args, options = {}) {
  return new Promise((resolve, reject) => {
    execFile(file, args, { maxBuffer: 64 * 1024 * 1024, ...options }, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else reject(new Error(`${file}: ${firstProblem(stderr) ?? firstProblem(stdout) ?? error.message}`));
    });
  });
}

function firstProblem(text) {
  const lines = String(text)
    .split('\n')
    .filter((line) => line.trim() !== '');
  return lines.find((line) => /error|^E:|undefined reference/i.test(line)) ?? lines[0];
}
