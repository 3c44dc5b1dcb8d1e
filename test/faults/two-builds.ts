// Two builds of the agent that differ only in the version they report, for tests of an upgrade from one to the other.

import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { builtAgent, requireBuilt } from '../lab/programs.ts';

const BESIDE = ['flanneld', 'flanneld-agent.cache', 'flanneld-extra.js', 'koffi.node', 'deadline.so', 'package.json'];
/** The file that has the version. */
const PROGRAM = 'flanneld-agent.js';

export interface TwoBuilds {
  /** The path of the installed executable. */
  readonly file: string;
  /** The version that `flanneld --version` reports for it. */
  version(): string;
  /** Installs the other build in its place, as a package manager would, while the old one may still run. */
  swap(): void;
  remove(): void;
}

export function makeTwoBuilds(): TwoBuilds {
  const folder = mkdtempSync(join(tmpdir(), 'weft-builds-'));
  const remove = (): void => rmSync(folder, { recursive: true, force: true });
  // Removes the files also when a signal ends the run.
  process.once('exit', remove);
  const text = readFileSync(join(dirname(requireBuilt(builtAgent)), PROGRAM), 'utf8');
  const id = versionOf(builtAgent).split('+')[1];
  if (id === undefined) throw new Error('this build has no id');
  install(join(folder, 'a'), text);
  install(join(folder, 'b'), text.replaceAll(id, [...id].toReversed().join('')));
  const current = join(folder, 'current');
  let name = 'a';
  symlinkSync(name, current);
  const file = join(current, 'flanneld');
  return {
    file,
    version: () => versionOf(file),
    swap() {
      name = name === 'a' ? 'b' : 'a';
      symlinkSync(name, `${current}.new`);
      renameSync(`${current}.new`, current);
    },
    remove() {
      process.off('exit', remove);
      remove();
    },
  };
}

function install(folder: string, text: string): void {
  mkdirSync(folder);
  writeFileSync(join(folder, PROGRAM), text);
  for (const file of BESIDE) copyFileSync(join(dirname(builtAgent), file), join(folder, file));
}

function versionOf(file: string): string {
  return execFileSync(file, ['--version'], { encoding: 'utf8' }).trim();
}
