// `npm run suite -- arm64`: the CNI executable cross-compiled for arm64 and run under emulation. Installs the cross
// compiler and the emulator when they are missing, which needs root once.

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ensurePackages } from '../setup.mjs';

const repository = fileURLToPath(new URL('../..', import.meta.url));
/** Debian packages, each with a file that shows it is installed. */
const packages = {
  'gcc-aarch64-linux-gnu': '/usr/bin/aarch64-linux-gnu-gcc',
  'qemu-user-static': '/usr/bin/qemu-aarch64-static',
};

export function main(_values, args) {
  ensurePackages(packages);
  const vitest = join(repository, 'node_modules/vitest/vitest.mjs');
  const argv = [vitest, 'run', 'test/root/executable-arm64.test.ts', ...args];
  return spawnSync(process.execPath, argv, { cwd: repository, stdio: 'inherit' }).status ?? 1;
}
