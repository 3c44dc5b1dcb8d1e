// A temporary folder for the bench, which is removed when the process ends, except when SIGKILL ends it.

import { mkdtempSync, rmSync } from 'node:fs';
import { constants } from 'node:os';

/** Not /tmp, which may be in memory: the measured plugins keep their files on a disk, as on a real node. */
const PARENT = '/var/tmp';

/** Makes the folder. Signals that end the process are turned into process.exit, so that the folder is removed then, too. */
export function makeScratch(): string {
  const folder = mkdtempSync(`${PARENT}/weft-bench-`);
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => process.exit(128 + constants.signals[signal]));
  }
  return folder;
}
