// The CNI configuration in the runtime's directory. After a boot it is there only once the node forwards. Differs from
// flannel, whose init container installs it before the agent has started (#2253); flannel also leaves it in place over a
// reboot, so that pods start on a node that cannot forward yet.

import { ConfigError, errorText } from '../../lib/errors.ts';
import { field, isJsonObject, type JsonValue, parseJson, stringifyJson } from '../../lib/json.ts';
import { atomicReplace, makeDirs, readTextIfPresent, removeFile, renameFile, statPath } from '../../lib/sys/file.ts';
import { readForeignText } from '../../lib/sys/foreign-file.ts';
import type { Syscalls } from '../../lib/sys/syscalls.ts';

/** The file name every flannel manifest uses. Runtimes take the configuration whose name sorts first. */
export const CONFLIST_NAME = '10-flannel.conflist';
/** Runtimes read *.conf, *.conflist and *.json only. */
const ASIDE_SUFFIX = '.not-ready';
/** `withdraw` leaves a file of this name, so that a running agent does not install the conflist again. */
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

/** Whether we may move a file of our name: it calls the flannel plugin, or it is no JSON because writing was cut off. */
function isOurs(text: string): boolean {
  try {
    return pluginTypes(text).includes('flannel');
  } catch {
    return true;
  }
}

/** State of the file under our conflist's name; `extended` is ours with added plugins of others, such as istio-cni. */
export type ConflistState = 'right' | 'extended' | 'changed' | 'missing' | 'no JSON' | 'withdrawn';

/** Throws SysError. */
export function conflistState(sys: Syscalls, dir: string, ours: string): ConflistState {
  const path = `${dir}/${CONFLIST_NAME}`;
  const text = readForeignText(sys, path, MAX_BYTES);
  if (text === undefined) return statPath(sys, path + WITHDRAWN_SUFFIX) === undefined ? 'missing' : 'withdrawn';
  if (text === 'unreadable') return 'no JSON';
  return text.text === ours ? 'right' : compareConflists(text.text, ours);
}

/** Installs `text` unless it is there already; returns the path when it wrote the file. Throws SysError. */
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

/** Removes our conflist, also one set aside, and leaves a mark in its place; returns the removed paths. */
export function withdrawConflist(sys: Syscalls, dir: string): string[] {
  const present = ourConflists(sys, dir);
  const mark = `${dir}/${CONFLIST_NAME}${WITHDRAWN_SUFFIX}`;
  // The mark is written first: otherwise a running agent could notice the missing file and install it again.
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

/** Whether every key and plugin of ours is there unchanged, the plugins in our order. */
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

/** The value as text with sorted keys, so that equal values give equal texts whatever program wrote them. */
function canonical(value: JsonValue): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (!isJsonObject(value)) return stringifyJson(value);
  const keys = [...value.keys()].sort();
  return `{${keys.map((key) => `${stringifyJson(key)}:${canonical(value.get(key) ?? null)}`).join(',')}}`;
}
