// Runs buildah on a store of our own below the cache folder, which keeps base images and layers for the next build.

import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cacheFolder } from '../command.mjs';

const repository = fileURLToPath(new URL('../../', import.meta.url));

/** Runs a program. Returns its stdout when `wanted`, otherwise shows it. Throws an Error of one line when the program fails. */
export function run(program, args, { wanted = false, env = process.env } = {}) {
  const stdio = ['ignore', wanted ? 'pipe' : 2, 2];
  const options = { cwd: repository, stdio, env, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 };
  const { status, error, stdout } = spawnSync(program, args, options);
  if (error !== undefined) throw new Error(`${program}: ${error.message}`);
  if (status !== 0) throw new Error(`${program} ${args.find((arg) => !arg.startsWith('/')) ?? ''} failed`);
  return (stdout ?? '').trim();
}

/** The options that tell buildah where our store is. */
export function store() {
  const folder = join(cacheFolder(), 'image');
  mkdirSync(folder, { recursive: true });
  return ['--root', join(folder, 'storage'), '--runroot', '/run/weft-image'];
}

/** Runs buildah on our store and returns its output. */
export function buildah(...args) {
  return run('buildah', [...store(), ...args], { wanted: true });
}
