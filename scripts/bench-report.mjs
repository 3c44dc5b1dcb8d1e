// Bundles the program of the bench's report, including uPlot, as one script for a browser.

import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const repository = fileURLToPath(new URL('..', import.meta.url));

/** Bundles the program and returns its text. */
export async function bundleReport() {
  // Imported here and not at the top, because set-up may have to install it first.
  const { build } = await import('esbuild');
  const { outputFiles } = await build({
    entryPoints: [join(repository, 'bench/report/client/main.ts')],
    bundle: true,
    minify: true,
    platform: 'browser',
    target: 'es2022',
    format: 'iife',
    charset: 'utf8',
    legalComments: 'none',
    write: false,
    logLevel: 'warning',
  });
  return outputFiles[0].text;
}
