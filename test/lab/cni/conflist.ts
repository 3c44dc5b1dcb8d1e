// Loads CNI network configuration lists as libcni does (SPEC.md 1.1.0, "Network configuration format"). The texts of the errors are
// those of libcni/conf.go.

import { readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, extname, join } from 'node:path';
import { errorText } from '../../../lib/errors.ts';

export type JsonObject = Record<string, unknown>;

export interface PluginConf {
  readonly type: string;
  readonly capabilities: Record<string, boolean>;
  /** The list as it was written, with every key. */
  readonly conf: JsonObject;
}

export interface NetworkList {
  readonly name: string;
  readonly cniVersion: string;
  readonly disableCheck: boolean;
  readonly disableGc: boolean;
  readonly plugins: readonly PluginConf[];
  /** The bytes from which the list was read. The result cache stores them. */
  readonly text: string;
}

/** The highest version that libcni knows. */
const LIBRARY_VERSION = '1.1.0';
const PARSING = 'error parsing configuration list';

/** Parses a list. Plugins that are kept in a folder of their own are read only by loadNetworkList. */
export function parseNetworkList(text: string): NetworkList {
  const raw = parseObject(text, PARSING);
  if (raw['name'] === undefined) throw new Error(`${PARSING}: no name`);
  if (typeof raw['name'] !== 'string') throw new Error(`${PARSING}: invalid name type ${typeof raw['name']}`);
  return {
    name: raw['name'],
    cniVersion: chooseVersion(raw),
    disableCheck: readFlag(raw, 'disableCheck'),
    disableGc: readFlag(raw, 'disableGC'),
    plugins: inlinePlugins(raw),
    text,
  };
}

/** Reads a list file, and the plugins in the folder beside it that is named after the network. */
export function loadNetworkList(path: string): NetworkList {
  const list = parseNetworkList(readFileSync(path, 'utf8'));
  const onlyInline = readFlag(parseObject(list.text, PARSING), 'loadOnlyInlinedPlugins');
  const plugins = onlyInline ? list.plugins : [...list.plugins, ...folderPlugins(join(dirname(path), list.name))];
  if (plugins.length === 0) throw new Error('no plugin configs found');
  return { ...list, plugins };
}

/**
 * Returns the list that a runtime uses: the first of the sorted .conflist, .conf and .json files in `folder`. As in containerd with
 * max_conf_num = 1, a bad first file is an error and is not skipped.
 */
export function defaultNetworkList(folder: string): NetworkList {
  const [first] = namesWith(folder, ['.conf', '.conflist', '.json']);
  if (first === undefined) throw new Error(`no network config found in ${folder}`);
  return loadFile(join(folder, first));
}

/**
 * Finds a list by its network's name, first among .conflist files, then among single configurations. A malformed file before it
 * ends the search with an error.
 */
export function findNetworkList(folder: string, name: string): NetworkList {
  for (const file of [...namesWith(folder, ['.conflist']), ...namesWith(folder, ['.conf', '.json'])]) {
    const list = loadFile(join(folder, file));
    if (list.name === name) return list;
  }
  throw new Error(`no net configuration with name "${name}" in ${folder}`);
}

function loadFile(path: string): NetworkList {
  if (extname(path) === '.conflist') return loadNetworkList(path);
  const text = readFileSync(path, 'utf8');
  const conf = parseObject(text, 'error parsing configuration');
  const { name, cniVersion } = conf;
  return { ...parseNetworkList(JSON.stringify({ name, cniVersion, plugins: [conf] })), text };
}

function folderPlugins(folder: string): PluginConf[] {
  return namesWith(folder, ['.conf']).map((name) => {
    const text = readFileSync(join(folder, name), 'utf8');
    return pluginConf(parseObject(text, `error parsing configuration file ${basename(name)}`));
  });
}

function namesWith(folder: string, extensions: readonly string[]): string[] {
  try {
    return readdirSync(folder)
      .filter((name) => extensions.includes(extname(name)))
      .sort();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

function inlinePlugins(raw: JsonObject): PluginConf[] {
  const onlyInline = readFlag(raw, 'loadOnlyInlinedPlugins');
  const plugins = raw['plugins'];
  if (plugins === undefined && !onlyInline) return [];
  if (plugins === undefined) {
    throw new Error(`${PARSING}: \`loadOnlyInlinedPlugins\` is true, and no 'plugins' key`);
  }
  if (!Array.isArray(plugins)) throw new Error(`${PARSING}: invalid 'plugins' type ${typeof plugins}`);
  if (plugins.length === 0) throw new Error(`${PARSING}: no plugins in list`);
  return plugins.map((conf, index) => {
    try {
      return pluginConf(conf);
    } catch (cause) {
      throw new Error(`${PARSING}: failed to parse plugin config ${index}: ${errorText(cause)}`, { cause });
    }
  });
}

function pluginConf(conf: unknown): PluginConf {
  if (!isObject(conf) || typeof conf['type'] !== 'string' || conf['type'] === '') {
    throw new Error("error parsing configuration: missing 'type'");
  }
  return { type: conf['type'], capabilities: readCapabilities(conf['capabilities']), conf };
}

function readCapabilities(raw: unknown): Record<string, boolean> {
  if (raw === undefined) return {};
  if (!isObject(raw) || Object.values(raw).some((on) => typeof on !== 'boolean')) {
    throw new Error("error parsing configuration: 'capabilities' is not an object of booleans");
  }
  return raw as Record<string, boolean>;
}

function chooseVersion(raw: JsonObject): string {
  const single = raw['cniVersion'] ?? '';
  if (typeof single !== 'string') throw new Error(`${PARSING}: invalid cniVersion type ${typeof single}`);
  const several = raw['cniVersions'];
  if (several === undefined) return single;
  if (!Array.isArray(several)) throw new Error(`${PARSING}: invalid type for cniVersions: ${typeof several}`);
  const known = [...several, ...(single === '' ? [] : [single])].filter((version: unknown, index) => {
    if (typeof version !== 'string' || !isVersion(version)) {
      throw new Error(`${PARSING}: invalid cniVersions entry ${String(version)} at index ${index}`);
    }
    return compareVersions(version, LIBRARY_VERSION) <= 0;
  }) as string[];
  return known.sort(compareVersions).at(-1) ?? single;
}

function isVersion(text: string): boolean {
  return /^\d+(\.\d+){0,2}$/.test(text);
}

/** Returns a negative number when `a` is older. Versions have up to three numbers; a missing number is 0. */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [a.split('.').map(Number), b.split('.').map(Number)];
  for (const index of [0, 1, 2]) {
    const difference = (left[index] ?? 0) - (right[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

function readFlag(raw: JsonObject, key: string): boolean {
  const value = raw[key];
  if (value === undefined) return false;
  if (typeof value === 'boolean') return value;
  if (typeof value !== 'string') throw new Error(`${PARSING}: invalid type ${typeof value} for ${key}`);
  const text = value.toLowerCase();
  if (text !== 'true' && text !== 'false') throw new Error(`${PARSING}: invalid value "${text}" for ${key}`);
  return text === 'true';
}

function parseObject(text: string, doing: string): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new Error(`${doing}: ${errorText(cause)}`, { cause });
  }
  if (!isObject(value)) throw new Error(`${doing}: not an object`);
  return value;
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
