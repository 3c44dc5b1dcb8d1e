// Helpers that the scripts share: running commands, and the folder in which things are kept between builds.

import { execFile, spawn } from 'node:child_process';
import { constants, homedir } from 'node:os';
import { join } from 'node:path';

/** The folder outside the repository in which fetched sources and compiled engines are kept. */
export function cacheFolder() {
  return join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'weft');
}

/** Runs a command and resolves to its stdout. Rejects with one line that has the command and its first error. */
export function run(file, args, options = {}) {
  return new Promise((resolve, reject) => {
    execFile(file, args, { maxBuffer: 64 * 1024 * 1024, ...options }, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else reject(new Error(`${file}: ${firstProblem(stderr) ?? firstProblem(stdout) ?? error.message}`));
    });
  });
}

/** Runs a command with our input and output and passes our signals on to it. Resolves to its exit code, as in a shell. */
export function runToEnd(file, args, options = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { stdio: 'inherit', ...options });
    const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'];
    const pass = (signal) => child.kill(signal);
    for (const signal of signals) process.on(signal, pass);
    child.on('error', reject);
    child.on('close', (code, signal) => {
      for (const one of signals) process.off(one, pass);
      resolve(code ?? 128 + constants.signals[signal]);
    });
  });
}

function firstProblem(text) {
  const lines = String(text)
    .split('\n')
    .filter((line) => line.trim() !== '');
  return lines.find((line) => /error|^E:|undefined reference/i.test(line)) ?? lines[0];
}
