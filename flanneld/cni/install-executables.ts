// Puts our CNI executable into the runtime's folder under its names, each by one rename. Each name gets its own copy, not a
// link: other installers use `cp -f`, which writes through links and would change all names at once.

import {
  chmodSync,
  closeSync,
  constants,
  copyFileSync,
  fsyncSync,
  lstatSync,
  openSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { makeFolders } from '../../lib/files-node.ts';
import { PLUGIN_NAMES, type PluginName } from '../../lib/plugin-names.ts';
import { identify, installError, type PlannedExecutable, planExecutables } from './executables.ts';

/** The name under which another vendor's file is kept; it begins with a dot, so that it is not mistaken for a plugin. */
export function keptName(name: PluginName): string {
  return `.${name}.before-weft`;
}

/**
 * Installs `source` into `folder` (made if missing) under every name that is free, ours already, or in `replaceable`. Returns what was
 * found and done for each name. Throws OpError; names that were written before that stay written.
 */
export function installExecutables(
  source: string,
  folder: string,
  replaceable: ReadonlySet<PluginName>,
): PlannedExecutable[] {
  const ours = readExecutable(source);
  attempt('mkdir', folder, () => makeFolders(folder));
  const plan = planExecutables((name) => identify(join(folder, name), ours), replaceable);
  for (const { name, step } of plan) {
    if (step === 'keep' || step === 'leave') continue;
    const path = join(folder, name);
    // The old file is copied, not moved, so that the name always has an executable for a pod that starts now.
    if (step === 'replace') putInPlace(join(folder, keptName(name)), (temporary) => copyEntry(path, temporary));
    putInPlace(path, (temporary) => writeExecutable(source, temporary));
  }
  return plan;
}

/**
 * Undoes installExecutables: removes our files from `folder` and restores the files that they replaced. Returns the changed paths. Throws
 * OpError.
 */
export function removeExecutables(folder: string): string[] {
  const changed: string[] = [];
  for (const name of PLUGIN_NAMES) {
    const path = join(folder, name);
    const kept = join(folder, keptName(name));
    const found = identify(path, new Uint8Array());
    const hasKept = identify(kept, new Uint8Array()) !== 'nothing';
    if (hasKept && (found === 'ours' || found === 'nothing')) attempt('restore', path, () => renameSync(kept, path));
    else if (found === 'ours') attempt('remove', path, () => rmSync(path));
    // Somebody has since installed a file over ours, so the one we kept is outdated.
    else if (hasKept) attempt('remove', kept, () => rmSync(kept));
    if (hasKept || found === 'ours') changed.push(path);
  }
  return changed;
}

/** Paths in `folder` of our executables and of the files we keep; empty when the folder is missing. Throws OpError. */
export function ourExecutables(folder: string): string[] {
  const names = PLUGIN_NAMES.filter((name) => identify(join(folder, name), new Uint8Array()) === 'ours');
  const kept = PLUGIN_NAMES.map(keptName).filter(
    (name) => identify(join(folder, name), new Uint8Array()) !== 'nothing',
  );
  return [...names, ...kept].map((name) => join(folder, name));
}

function readExecutable(source: string): Uint8Array {
  return attempt('read', source, () => readFileSync(source));
}

/** `make` creates a temporary file, which is then renamed to `path`: readers see the old file or the whole new one. */
function putInPlace(path: string, make: (temporary: string) => void): void {
  const temporary = join(dirname(path), `.${basename(path)}.weft-${process.pid}`);
  attempt('install', path, () => {
    try {
      rmSync(temporary, { force: true });
      make(temporary);
      renameSync(temporary, path);
    } catch (error) {
      rmSync(temporary, { force: true });
      throw error;
    }
  });
}

function writeExecutable(source: string, path: string): void {
  copyBlocks(source, path);
  chmodSync(path, 0o755);
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Copies a link as a link, without following it (k3s has one executable and links to it). */
function copyEntry(from: string, to: string): void {
  if (lstatSync(from).isSymbolicLink()) symlinkSync(readlinkSync(from), to);
  else copyBlocks(from, to);
}

/** Shares the disk blocks where the file system can. */
function copyBlocks(from: string, to: string): void {
  copyFileSync(from, to, constants.COPYFILE_FICLONE);
}

function attempt<T>(op: string, path: string, body: () => T): T {
  try {
    return body();
  } catch (error) {
    throw installError(op, path, error);
  }
}
