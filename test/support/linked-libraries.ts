// What a program is linked with, as ldd(1) tells it.

import { spawnSync } from 'node:child_process';

/** Paths of its libraries and its loader; none for one that is linked statically, which ldd may call a failure. */
export function linkedLibraries(program: string): string[] {
  const { status, stdout, stderr, error } = spawnSync('ldd', [program], { encoding: 'utf8' });
  if (error !== undefined) throw error;
  if (/not a dynamic executable|statically linked/.test(stdout + stderr)) return [];
  if (status !== 0) throw new Error(`ldd ${program}: exit ${status} (${stderr.trim()})`);
  // `libm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x…)`, and the loader: `/lib64/ld-linux-x86-64.so.2 (0x…)`.
  return [...stdout.matchAll(/(\/\S+) \(0x/g)].map(([, library = '']) => library);
}
