// A folder of the bench's own, which goes with the process however that ends (but by SIGKILL).

import { mkdtempSync, rmSync } from 'node:fs';
import { constants } from 'node:os';

/** Not /tmp: that may be in memory, and what is measured keeps its files on a disk. */
const PARENT = '/var/tmp';

/** Makes the folder. A signal that ends the process ends it through process.exit, so that it is removed then, too. */
export function makeScratch(): string {
  const folder = mkdtempSync(`${PARENT}/weft-bench-`);
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => process.exit(128 + constants.signals[signal]));
  }
  return folder;
}
