// The CNI configuration in the runtime's directory: there when the node forwards, gone or set aside when it does not.
// Differs from flannel, whose init container installs it before the agent has started (#2253), and leaves it after a
// reboot, when pods would start against a node that cannot forward yet.

import { ConfigError, errorText } from '../../lib/errors.ts';
import { field, isJsonObject, parseJson } from '../../lib/json.ts';
import { atomicReplace, makeDirs, readTextIfPresent, removeFile, renameFile } from '../../lib/sys/file.ts';
import type { Syscalls } from '../../lib/sys/syscalls.ts';

/** The file name every flannel manifest uses; runtimes take the first in order of name. */
export const CONFLIST_NAME = '10-flannel.conflist';
/** Runtimes read *.conf, *.conflist and *.json only. */
const ASIDE_SUFFIX = '.not-ready';
const MAX_BYTES = 1024 * 1024;

/** Reads and checks the conflist to install. Throws ConfigError, also when there is none. */
export function readConflist(sys: Syscalls, source: string): string {
  const text = readTextIfPresent(sys, source, MAX_BYTES);
  if (text === undefined) throw new ConfigError('cni-conf', source, 'no such file');
  let types: readonly string[];
  try {
    types = pluginTypes(text);
  } catch (error) {
    throw new ConfigError('cni-conf', source, errorText(error));
  }
  if (!types.includes('flannel')) {
    throw new ConfigError('cni-conf', `${source}: plugins`, 'expected a plugin of type flannel');
  }
  return text;
}

/** Types of the plugins of a conflist. Throws JsonError. */
export function pluginTypes(text: string): string[] {
  const root = parseJson(text);
  const plugins = isJsonObject(root) ? field(root, 'plugins') : undefined;
  if (!Array.isArray(plugins)) return [];
  const types: string[] = [];
  for (const plugin of plugins) {
    const type = isJsonObject(plugin) ? field(plugin, 'type') : undefined;
    if (typeof type === 'string') types.push(type);
  }
  return types;
}

/** Whether a file of our name is ours to move: one that calls flannel, or one cut off while being written. */
function isOurs(text: string): boolean {
  try {
    return pluginTypes(text).includes('flannel');
  } catch {
    return true;
  }
}

/** Puts `text` in place unless it is there already; returns the path when it had to. Throws SysError. */
export function installConflist(sys: Syscalls, dir: string, text: string): string | undefined {
  const path = `${dir}/${CONFLIST_NAME}`;
  removeFile(sys, path + ASIDE_SUFFIX);
  if (readTextIfPresent(sys, path, MAX_BYTES) === text) return undefined;
  makeDirs(sys, dir, 0o755);
  atomicReplace(sys, path, text, 0o644, { durable: true });
  return path;
}

/** Renames a conflist of ours so that no runtime reads it; returns its new path, undefined when there is none. */
export function setConflistAside(sys: Syscalls, dir: string): string | undefined {
  const path = `${dir}/${CONFLIST_NAME}`;
  const text = readTextIfPresent(sys, path, MAX_BYTES);
  if (text === undefined || !isOurs(text)) return undefined;
  renameFile(sys, path, path + ASIDE_SUFFIX);
  return path + ASIDE_SUFFIX;
}

/** Removes a conflist of ours, also one set aside; returns what was removed. */
export function withdrawConflist(sys: Syscalls, dir: string): string[] {
  return ourConflists(sys, dir)
    .map(({ path }) => path)
    .filter((path) => removeFile(sys, path));
}

/** Conflists of ours, also one set aside. Throws SysError. */
export function ourConflists(sys: Syscalls, dir: string): { readonly path: string; readonly text: string }[] {
  const found: { path: string; text: string }[] = [];
  for (const path of [`${dir}/${CONFLIST_NAME}`, `${dir}/${CONFLIST_NAME}${ASIDE_SUFFIX}`]) {
    const text = readTextIfPresent(sys, path, MAX_BYTES);
    if (text !== undefined && isOurs(text)) found.push({ path, text });
  }
  return found;
}
