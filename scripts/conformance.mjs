// `npm run conformance`: builds everything, then runs test/cni/conformance/main.ts as a bundle, because Node 20 cannot run TypeScript.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { buildPrograms } from './build.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

export async function main(values) {
  await buildPrograms(['cni']);
  const { build } = await import('esbuild');
  const folder = mkdtempSync(join(tmpdir(), 'conformance-bundle-'));
  const outfile = join(folder, 'main.mjs');
  try {
    await build({
      entryPoints: [join(root, 'test/cni/conformance/main.ts')],
      outfile,
      bundle: true,
      platform: 'node',
      format: 'esm',
      target: 'node20',
      logLevel: 'error',
    });
    const conformance = await import(pathToFileURL(outfile).href);
    return await conformance.main(values);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
