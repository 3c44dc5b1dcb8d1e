// The references that the CNI executable is compared with, and their versions: flannel's chain in a folder that the user names,
// Debian's reference plugins, and the C floor.

import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const DEBIAN_FOLDER = '/usr/lib/cni';
const DEBIAN_PACKAGE = 'containernetworking-plugins';

/** A folder of plugins to call, and what is in it. */
export interface Reference {
  readonly folder: string;
  readonly description: string;
}

/** The module and version that a Go executable records about itself; undefined when it records none. */
export function goModule(binary: Buffer): string | undefined {
  const text = binary.toString('latin1');
  // Go's debug/buildinfo has a line with `mod`, path and version, separated by tabs. A build from a checkout has `(devel)`.
  const match = /\nmod\t([^\t\n]+)\t([^\t\n]+)[\t\n]/.exec(text);
  return match === null ? undefined : `${match[1]?.split('/').slice(1).join('/')} ${match[2]}`;
}

/** flannel's chain in `folder`. Throws when one of the three is missing. */
export function findChain(folder: string): Reference {
  const parts = ['flannel', 'bridge', 'host-local'].map((name) => {
    const path = join(folder, name);
    if (!existsSync(path)) throw new Error(`--peer ${folder}: no ${name} there`);
    return `${name} (${goModule(readFileSync(path)) ?? 'of unknown version'})`;
  });
  return { folder, description: parts.join(' → ') };
}

/** Debian's bridge and host-local, which `npm run bench` installs; undefined, with a note, when they are missing. */
export function findDebianPlugins(note: (line: string) => void): Reference | undefined {
  if (!existsSync(join(DEBIAN_FOLDER, 'bridge'))) {
    note(`no ${DEBIAN_FOLDER}/bridge to compare with: apt-get install ${DEBIAN_PACKAGE}`);
    return undefined;
  }
  const query = spawnSync('dpkg-query', ['--show', '--showformat=$' + '{Version}', DEBIAN_PACKAGE], {
    encoding: 'utf8',
  });
  const version = query.status === 0 ? `${DEBIAN_PACKAGE} ${query.stdout}` : 'of unknown version';
  return { folder: DEBIAN_FOLDER, description: `bridge → host-local (${version})` };
}
