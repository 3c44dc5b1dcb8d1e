// Makes dist/kubectl-weft: one JavaScript file for Node 20 that contains everything, including the program of the map's page and the
// program of the pods that `kubectl weft connectivity` makes.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const repository = fileURLToPath(new URL('..', import.meta.url));
const source = join(repository, 'flanneld/cluster');

/** The program of the map's page, as one script for a browser. */
export async function bundleMap() {
  return await bundleText(join(source, 'map/client/map-client.ts'), { platform: 'browser', target: 'es2022' });
}

/** The program of a test pod, as one script for `node -e`. */
async function bundlePodProgram() {
  return await bundleText(join(source, 'connectivity/pod-program.ts'), { platform: 'node', target: 'node20' });
}

async function bundleText(entry, { platform, target }) {
  // Imported here and not at the top, because set-up may have to install it first.
  const { build } = await import('esbuild');
  const { outputFiles } = await build({
    entryPoints: [entry],
    bundle: true,
    minify: true,
    platform,
    target,
    format: 'iife',
    charset: 'utf8',
    legalComments: 'none',
    write: false,
    logLevel: 'silent',
  });
  return outputFiles[0].text;
}

/** The text of the plugin. `id` is its digest, which is empty while the digest is computed. */
export async function bundlePlugin(id, plugins) {
  const { build } = await import('esbuild');
  const define = {
    WEFT_BUILD_ID: JSON.stringify(id),
    WEFT_MAP_SCRIPT: JSON.stringify(await bundleMap()),
    WEFT_MAP_STYLE: JSON.stringify(await readFile(join(source, 'map/map-style.css'), 'utf8')),
    WEFT_POD_PROGRAM: JSON.stringify(await bundlePodProgram()),
  };
  const { outputFiles } = await build({
    entryPoints: [join(source, 'main.ts')],
    bundle: true,
    write: false,
    platform: 'node',
    format: 'cjs',
    target: 'node20',
    banner: { js: '#!/usr/bin/env node' },
    // Only white space is removed, so that names stay readable in stack traces that users report.
    minifyWhitespace: true,
    minifySyntax: true,
    legalComments: 'eof',
    // Native helpers that `ws` uses if they are installed.
    external: ['bufferutil', 'utf-8-validate'],
    define,
    plugins,
    logLevel: 'silent',
  });
  return outputFiles[0].text;
}
