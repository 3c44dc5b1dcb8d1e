// Bundles test/cni/<name>/main.ts, which Node cannot run as it is, and runs its main() on dist/cni/flannel.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));

/** Calls the program's main(values, bundle, executable, repository). Resolves with the exit code. */
export async function runOnExecutable(name, values) {
  const [{ build }, { buildPrograms }] = await Promise.all([import('esbuild'), import('./build.mjs')]);
  const folder = mkdtempSync(join(tmpdir(), `weft-${name}-`));
  const outfile = join(folder, 'main.mjs');
  try {
    await buildPrograms(['cni']);
    await build({
      entryPoints: [join(root, 'test/cni', name, 'main.ts')],
      outfile,
      bundle: true,
      platform: 'node',
      format: 'esm',
      target: 'node20',
      logLevel: 'error',
    });
    const { main } = await import(pathToFileURL(outfile).href);
    return await main(values, outfile, join(root, 'dist/cni/flannel'), root);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
