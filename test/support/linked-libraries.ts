// Lists the libraries with which a program is linked, as ldd(1) reports them.

import { spawnSync } from 'node:child_process';

/**
 * Returns the paths of a program's libraries and of its loader; none for a statically linked program. ldd may report such a program
 * as an error.
 */
export function linkedLibraries(program: string): string[] {
  const { status, stdout, stderr, error } = spawnSync('ldd', [program], { encoding: 'utf8' });
  if (error !== undefined) throw error;
  if (/not a dynamic executable|statically linked/.test(stdout + stderr)) return [];
  if (status !== 0) throw new Error(`ldd ${program}: exit ${status} (${stderr.trim()})`);
  // ldd prints `libm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x…)` and, for the loader, `/lib64/ld-linux-x86-64.so.2 (0x…)`.
  return [...stdout.matchAll(/(\/\S+) \(0x/g)].map(([, library = '']) => library);
}
