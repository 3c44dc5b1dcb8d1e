// Compiles a TypeScript program into an executable like the CNI plugin's, for tests of what such an executable does.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { buildExecutable, type ExecutableOptions, type ExecutableRecord } from '../../scripts/build-executable.mjs';

/** Compiles `entry`, which exports `main(): ProgramOutput`. Register `remove` where it is called. */
export async function compileProgram(entry: string, options: ExecutableOptions = {}): Promise<Executable> {
  const folder = mkdtempSync(join(tmpdir(), 'weft-executable-'));
  const path = join(folder, basename(entry, '.ts'));
  const remove = () => rmSync(folder, { recursive: true, force: true });
  try {
    return { path, folder, record: await buildExecutable(entry, path, options), remove };
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
