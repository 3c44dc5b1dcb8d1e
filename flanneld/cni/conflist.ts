// The CNI configuration in the runtime's directory: there when the node forwards, gone or set aside when it does not.
// Differs from flannel, whose init container installs it before the agent has started (#2253), and leaves it after a
// reboot, when pods would start against a node that cannot forward yet.

import { ConfigError, errorText } from '../../lib/errors.ts';
import { field, isJsonObject, type JsonValue, parseJson, stringifyJson } from '../../lib/json.ts';
import { atomicReplace, makeDirs, readTextIfPresent, removeFile, renameFile, statPath } from '../../lib/sys/file.ts';
import { readForeignText } from '../../lib/sys/foreign-file.ts';
import type { Syscalls } from '../../lib/sys/syscalls.ts';

/** The file name every flannel manifest uses; runtimes take the first in order of name. */
export const CONFLIST_NAME = '10-flannel.conflist';
/** Runtimes read *.conf, *.conflist and *.json only. */
const ASIDE_SUFFIX = '.not-ready';
/** Left by `withdraw`: a running agent does not put back what was taken away on purpose. */
const WITHDRAWN_SUFFIX = '.withdrawn';
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

/** What lies under the name of our conflist; `extended` is ours with plugins of others, as istio-cni adds itself. */
export type ConflistState = 'right' | 'extended' | 'changed' | 'missing' | 'no JSON' | 'withdrawn';

/** Throws SysError. */
export function conflistState(sys: Syscalls, dir: string, ours: string): ConflistState {
  const path = `${dir}/${CONFLIST_NAME}`;
  const text = readForeignText(sys, path, MAX_BYTES);
  if (text === undefined) return statPath(sys, path + WITHDRAWN_SUFFIX) === undefined ? 'missing' : 'withdrawn';
  if (text === 'unreadable') return 'no JSON';
  return text.text === ours ? 'right' : compareConflists(text.text, ours);
}

/** Puts `text` in place unless it is there already; returns the path when it had to. Throws SysError. */
export function installConflist(sys: Syscalls, dir: string, text: string): string | undefined {
  const path = `${dir}/${CONFLIST_NAME}`;
  for (const suffix of [ASIDE_SUFFIX, WITHDRAWN_SUFFIX]) removeFile(sys, path + suffix);
  const state = conflistState(sys, dir, text);
  if (state === 'right' || state === 'extended') return undefined;
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

/** Removes a conflist of ours, also one set aside, and leaves a mark in its place; returns what was removed. */
export function withdrawConflist(sys: Syscalls, dir: string): string[] {
  const present = ourConflists(sys, dir);
  const mark = `${dir}/${CONFLIST_NAME}${WITHDRAWN_SUFFIX}`;
  // The mark first: a running agent looks at any moment.
  if (present.length > 0) atomicReplace(sys, mark, 'flanneld withdraw\n', 0o644, { durable: true });
  return present.map(({ path }) => path).filter((path) => removeFile(sys, path));
}

/** The mark `withdrawConflist` left; undefined when there is none. */
export function withdrawnMark(sys: Syscalls, dir: string): string | undefined {
  const mark = `${dir}/${CONFLIST_NAME}${WITHDRAWN_SUFFIX}`;
  return statPath(sys, mark) === undefined ? undefined : mark;
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

function compareConflists(text: string, ours: string): 'extended' | 'changed' | 'no JSON' {
  let found: JsonValue;
  try {
    found = parseJson(text);
  } catch {
    return 'no JSON';
  }
  const own = parseJson(ours);
  return isExtended(found, own) ? 'extended' : 'changed';
}

/** Whether every key of ours is there as it is, and every plugin of ours, in order. */
function isExtended(found: JsonValue, own: JsonValue): boolean {
  if (!isJsonObject(found) || !isJsonObject(own)) return false;
  for (const [key, value] of own) {
    if (key !== 'plugins' && canonical(found.get(key) ?? null) !== canonical(value)) return false;
  }
  const wanted = pluginsOf(own).map(canonical);
  let at = 0;
  for (const plugin of pluginsOf(found)) if (canonical(plugin) === wanted[at]) at++;
  return at === wanted.length;
}

function pluginsOf(root: JsonValue): readonly JsonValue[] {
  const plugins = isJsonObject(root) ? field(root, 'plugins') : undefined;
  return Array.isArray(plugins) ? plugins : [];
}

/** One text for the same value, in whatever order somebody's program writes keys. */
function canonical(value: JsonValue): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (!isJsonObject(value)) return stringifyJson(value);
  const keys = [...value.keys()].sort();
  return `{${keys.map((key) => `${stringifyJson(key)}:${canonical(value.get(key) ?? null)}`).join(',')}}`;
}
