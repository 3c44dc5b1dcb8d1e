// `node scripts/reference.mjs`: makes manifests/REFERENCE.md and the table of findings in manifests/README.md again from the tables in the
// programs' sources (reference/render.ts, reference/findings.ts).

import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'esbuild';

const repository = fileURLToPath(new URL('../', import.meta.url));
// The bundle lies inside the repository, so that it finds the packages that are not bundled.
const bundle = join(repository, `dist/.reference-${process.pid}.mjs`);

await build({
  entryPoints: [join(repository, 'scripts/reference/main.ts')],
  outfile: bundle,
  bundle: true,
  platform: 'node',
  format: 'esm',
  packages: 'external',
  logLevel: 'warning',
});
try {
  const { writeReference } = await import(pathToFileURL(bundle).href);
  writeReference(join(repository, 'manifests'));
} finally {
  rmSync(bundle);
}
