// Finds files in the runtime's CNI folders that will make pods fail: a configuration that sorts before ours, which the runtime would use
// instead (flannel #1437), a missing plugin (#890 #1471), and an executable of another vendor.

import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { nodeErrorCode } from '../../lib/node-error-node.ts';
import type { PlannedExecutable } from './executables.ts';

/** The files runtimes read, in order of name (libcni's ConfFiles). */
const CONFIGURATION = /\.(conf|conflist|json)$/;

/** One line for each problem; the normal result is empty. */
export function cniDoubts(facts: {
  readonly confFolder: string;
  /** File name of our conflist. */
  readonly conflistName: string;
  /** Undefined when another program installs the executables. */
  readonly binFolder: string | undefined;
  /** Plugins that run for a pod: the conflist's types and the plugins they call. */
  readonly types: readonly string[];
  readonly executables: readonly PlannedExecutable[];
}): string[] {
  const { confFolder, conflistName, binFolder, types, executables } = facts;
  return [
    ...earlierConfigurations(listNames(confFolder), conflistName).map(
      (name) => `${join(confFolder, name)} sorts before ${conflistName}, so the runtime uses that file for new pods`,
    ),
    ...(binFolder === undefined ? [] : missingPlugins(binFolder, types)),
    ...executables.flatMap((executable) => foreign(binFolder ?? '', executable)),
  ];
}

/** Names of configurations that a runtime prefers to `ours`; compared by bytes, as Go sorts. */
export function earlierConfigurations(names: readonly string[], ours: string): string[] {
  return names.filter((name) => CONFIGURATION.test(name) && Buffer.compare(Buffer.from(name), Buffer.from(ours)) < 0);
}

function missingPlugins(folder: string, types: readonly string[]): string[] {
  return [...new Set(types)]
    .filter((type) => !existsSync(join(folder, type)))
    .map((type) => `${join(folder, type)} is missing, but new pods need it`);
}

function foreign(folder: string, { name, found, step }: PlannedExecutable): string[] {
  if (step !== 'leave') return [];
  const path = join(folder, name);
  const told = `--cni-bin-replace=${name} replaces it by Weft's`;
  if (found === 'unknown') return [`${path} is neither Weft’s nor a reference plugin and is left as it is; ${told}`];
  // No problem: most nodes have the reference bridge and portmap. flannel's own plugin works, too, but slower.
  return name === 'flannel' ? [`${path} is flannel's own and is left as it is; ${told}`] : [];
}

function listNames(folder: string): string[] {
  try {
    return readdirSync(folder).sort();
  } catch (error) {
    if (nodeErrorCode(error) === 'ENOENT') return [];
    throw error;
  }
}
