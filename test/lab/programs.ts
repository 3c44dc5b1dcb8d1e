// Where the lab finds the programs it runs: its own bundles and what `npm run build` makes.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { OpError } from '../../lib/errors.ts';

/** The same two levels up from test/lab and from dist/lab, where bundles lie. */
export const repositoryRoot = fileURLToPath(new URL('../../', import.meta.url));
export const builtAgent = join(repositoryRoot, 'dist/flanneld');
export const builtPlugins = join(repositoryRoot, 'dist/cni');

/** The folder with host.mjs and runner.mjs, bundled now when this file is run as TypeScript. */
export async function labPrograms(): Promise<string> {
  const folder = join(repositoryRoot, 'dist/lab');
  if (!import.meta.url.endsWith('.ts')) return folder;
  const bundler = pathToFileURL(join(repositoryRoot, 'scripts/lab-bundle.mjs')).href;
  const { bundleLab } = (await import(bundler)) as { bundleLab(): Promise<string> };
  return await bundleLab();
}

/** OpError (ENOENT) that says how to get it, when a path the lab needs is missing. */
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
