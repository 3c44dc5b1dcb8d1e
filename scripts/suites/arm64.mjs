// `npm run suite -- arm64`: the CNI executable cross-compiled for arm64 and run under emulation. Installs the cross
// compiler and the emulator when they are missing, which needs root once.

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from '../command.mjs';

const repository = fileURLToPath(new URL('../..', import.meta.url));
/** Debian packages, each with a file that shows it is installed. */
const packages = {
  'gcc-aarch64-linux-gnu': '/usr/bin/aarch64-linux-gnu-gcc',
  'qemu-user-static': '/usr/bin/qemu-aarch64-static',
};

async function install(names) {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  if (process.getuid() !== 0) throw new Error(`run as root once, or: apt-get install ${names.join(' ')}`);
  process.stderr.write(`suite arm64: installing ${names.join(' ')}\n`);
  const options = ['-o', 'DPkg::Lock::Timeout=300'];
  await run('apt-get', [...options, 'update'], { env });
  await run('apt-get', [...options, 'install', '--yes', '--no-install-recommends', ...names], { env });
}

export async function main(_values, args) {
  const missing = Object.keys(packages).filter((name) => !existsSync(packages[name]));
  if (missing.length > 0) await install(missing);
  const vitest = join(repository, 'node_modules/vitest/vitest.mjs');
  const argv = [vitest, 'run', 'test/root/executable-arm64.test.ts', ...args];
  return spawnSync(process.execPath, argv, { cwd: repository, stdio: 'inherit' }).status ?? 1;
}
