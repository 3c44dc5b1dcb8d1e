// Reads the texts that a report contains from where the build and npm put them.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Assets } from './page.ts';

/** Reads the texts. Throws when the page's program was not built. */
export function readAssets(repository: string): Assets {
  const script = join(repository, 'dist/bench/report.js');
  if (!existsSync(script)) throw new Error(`no ${script}: run npm run bench`);
  const read = (path: string): string => readFileSync(join(repository, path), 'utf8');
  return {
    script: readFileSync(script, 'utf8'),
    style: `${read('node_modules/uplot/dist/uPlot.min.css')}\n${read('bench/report/style.css')}`,
    licence: read('node_modules/uplot/LICENSE'),
  };
}
