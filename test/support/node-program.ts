// Bundles a TypeScript program for Node, for tests that need it in a process of its own.

import { mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { build } from 'esbuild';

export interface NodeProgram {
  readonly path: string;
  remove(): void;
}

/** Bundles `entry` into one module. Register `remove` where it is called. */
export async function compileForNode(entry: string): Promise<NodeProgram> {
  const folder = mkdtempSync(join(tmpdir(), 'weft-program-'));
  const path = join(folder, `${basename(entry, '.ts')}.mjs`);
  // The bundle lies outside the repository, so what it does not contain is named by its whole path.
  const koffi = createRequire(import.meta.url).resolve('koffi');
  await build({
    entryPoints: [entry],
    outfile: path,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    alias: { koffi },
    external: [koffi],
    logLevel: 'warning',
  });
  return { path, remove: () => rmSync(folder, { recursive: true, force: true }) };
}
