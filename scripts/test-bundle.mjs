// Bundles test/<name>/main.ts, which Node cannot run as it is, and runs its main() on dist/cni/flannel.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { setUp } from './setup.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));

/** main(args, bundle, executable, repository); resolves with the exit code, also of what failed before it. */
export async function runOnExecutable(name, args) {
  if (!setUp()) return 1;
  const [{ build }, { buildPrograms }] = await Promise.all([import('esbuild'), import('./build.mjs')]);
  const folder = mkdtempSync(join(tmpdir(), `weft-${name}-`));
  const outfile = join(folder, 'main.mjs');
  try {
    await buildPrograms(['cni']);
    await build({
      entryPoints: [join(root, 'test', name, 'main.ts')],
      outfile,
      bundle: true,
      platform: 'node',
      format: 'esm',
      target: 'node20',
      logLevel: 'error',
    });
    const { main } = await import(pathToFileURL(outfile).href);
    return await main(args, outfile, join(root, 'dist/cni/flannel'), root);
  } catch (error) {
    process.stderr.write(`npm run test:${name}: ${error.message}\n`);
    return 1;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
