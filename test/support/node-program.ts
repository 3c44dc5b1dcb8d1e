// Bundles a TypeScript program for Node, for tests that run it in a separate process.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { bundleTestProgram } from '../../scripts/test-programs.mjs';

export interface NodeProgram {
  readonly path: string;
  remove(): void;
}

/** Bundles `entry` into one module. Register `remove` where it is called. */
export async function compileForNode(entry: string): Promise<NodeProgram> {
  const folder = mkdtempSync(join(tmpdir(), 'weft-program-'));
  const path = join(folder, `${basename(entry, '.ts')}.mjs`);
  await bundleTestProgram(entry, path, process.env['WEFT_TEST_PROGRAMS']);
  return { path, remove: () => rmSync(folder, { recursive: true, force: true }) };
}
