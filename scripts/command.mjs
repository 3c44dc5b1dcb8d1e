// Helpers that the scripts share: running commands, and the folder in which things are kept between builds.

import { execFile, spawn, spawnSync } from 'node:child_process';
import { constants, homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The folder outside the repository in which fetched sources and compiled engines are kept. */
export function cacheFolder() {
  return join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'weft');
}

/**
 * The time, in seconds since 1970, that everything built for others has: SOURCE_DATE_EPOCH (reproducible-builds.org), otherwise the time of
 * the commit, otherwise 0. So two builds of the same sources are the same, byte for byte.
 */
export function sourceDateEpoch() {
  const given = process.env['SOURCE_DATE_EPOCH'];
  if (given !== undefined && given !== '') {
    if (!/^\d{1,12}$/.test(given)) throw new Error(`SOURCE_DATE_EPOCH: expected seconds since 1970, got "${given}"`);
    return Number(given);
  }
  const cwd = fileURLToPath(new URL('..', import.meta.url));
  const { status, stdout } = spawnSync('git', ['log', '-1', '--format=%ct'], { cwd, encoding: 'utf8' });
  return status === 0 ? Number(stdout.trim()) : 0;
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
