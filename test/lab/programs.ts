// Finds the programs that the lab runs: its own bundles, and what `npm run build` makes.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { OpError } from '../../lib/errors.ts';

/** The repository is two levels up from test/lab, and also from dist/lab, which has the bundles. */
export const repositoryRoot = fileURLToPath(new URL('../../', import.meta.url));
export const builtAgent = join(repositoryRoot, 'dist/flanneld');
export const builtPlugins = join(repositoryRoot, 'dist/cni');

/**
 * Returns the folder with host.mjs and runner.mjs. When this file is run as TypeScript, the bundles are made first, except on a machine
 * for which all programs were made beforehand (scripts/suites/kernels.mjs).
 */
export async function labPrograms(): Promise<string> {
  const folder = join(repositoryRoot, 'dist/lab');
  if (!import.meta.url.endsWith('.ts') || process.env['WEFT_TEST_PROGRAMS'] !== undefined) return folder;
  const bundler = pathToFileURL(join(repositoryRoot, 'scripts/lab-bundle.mjs')).href;
  const { bundleLab } = (await import(bundler)) as { bundleLab(): Promise<string> };
  return await bundleLab();
}

/** Throws an OpError (ENOENT) that says how to make the file, when a path that the lab needs is missing. */
export function requireBuilt(path: string): string {
  if (existsSync(path)) return path;
  throw new OpError({
    subsystem: 'lab',
    op: 'find',
    object: path,
    code: 'ENOENT',
    detail: 'npm run build makes it',
  });
}
