// Compiles a TypeScript program into an executable like the CNI plugin's, for tests of what such an executable does.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import type { ExecutableOptions, ExecutableRecord } from '../../scripts/build-executable.mjs';
import { compileTestProgram } from '../../scripts/test-programs.mjs';

/** Compiles `entry`, which exports `main(): ProgramOutput`. Register `remove` where it is called. */
export async function compileProgram(entry: string, options: ExecutableOptions = {}): Promise<Executable> {
  const folder = mkdtempSync(join(tmpdir(), 'weft-executable-'));
  const path = join(folder, basename(entry, '.ts'));
  const remove = () => rmSync(folder, { recursive: true, force: true });
  try {
    return {
      path,
      folder,
      record: await compileTestProgram(entry, path, options, process.env['WEFT_TEST_PROGRAMS']),
      remove,
    };
  } catch (error) {
    remove();
    throw error;
  }
}

export interface Executable {
  readonly path: string;
  /** A temporary folder that holds nothing but the executable. */
  readonly folder: string;
  readonly record: ExecutableRecord;
  remove(): void;
}
