// Bundles a TypeScript program for Node, for tests that run it in a separate process.

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
  // The bundle lies outside of the repository, so a package that it does not contain is imported by its absolute path.
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
