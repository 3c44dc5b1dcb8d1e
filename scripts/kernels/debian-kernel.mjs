// Debian's stock kernels, fetched as packages and unpacked into the cache. Nothing is installed on this machine.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { run } from '../command.mjs';
import { fetchDebianPackages } from '../debian.mjs';

/** The Debian release that brings each kernel. */
const RELEASES = { '5.10': 'bullseye', 6.1: 'bookworm', 6.12: 'trixie' };

export const KERNELS = Object.keys(RELEASES);

/** Always present in a release, and depends on the package of the current kernel, whose name changes with each update. */
const METAPACKAGE = 'linux-image-amd64';

/**
 * Resolves to a kernel: { name, release, folder, image, packaged }, where `release` is what uname -r says, `folder` has
 * lib/modules/RELEASE below it, `image` is the file to boot, and `packaged` is package and version.
 */
export async function debianKernel(name) {
  const debian = RELEASES[name];
  const { [METAPACKAGE]: meta } = await fetchDebianPackages([METAPACKAGE], 'amd64', debian);
  const wanted = /linux-image-[^\s,]+/.exec(meta.depends ?? '')?.[0];
  if (wanted === undefined) throw new Error(`${METAPACKAGE} of ${debian} depends on no kernel: "${meta.depends}"`);
  const { [wanted]: kernel } = await fetchDebianPackages([wanted], 'amd64', debian);
  const release = wanted.slice('linux-image-'.length);
  const modules = join(kernel.folder, 'lib/modules', release);
  const folder = existsSync(modules) ? kernel.folder : join(kernel.folder, 'usr');
  if (!existsSync(join(folder, 'lib/modules', release, 'modules.dep'))) await run('depmod', ['-b', folder, release]);
  return { name, release, folder, image: join(kernel.folder, 'boot', `vmlinuz-${release}`), packaged: kernel.name };
}
