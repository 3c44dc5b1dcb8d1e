// Reads the names of the pods' network and its bridge from the conflist, and where the plugin keeps its files for them.

import { field, isJsonObject, type JsonObject, parseJson } from '../../lib/json.ts';

export interface PodNetwork {
  readonly network: string;
  readonly bridge: string;
  /** Whether the delegate is `bridge`, so that every pod has a port of the bridge. */
  readonly isBridged: boolean;
  /** Folder of the network's address files. */
  readonly addressFolder: string;
  /** Folder of saved delegate configurations, for all networks of the plugin. */
  readonly savedFolder: string;
}

/** Takes each setting from the first conflist that has it, else flannel's default. `stateDir` is /var/lib/cni. */
export function podNetworkIn(conflists: readonly string[], stateDir: string): PodNetwork {
  const roots = conflists.map(objectIn).filter((root) => root !== undefined);
  const plugins = roots.map(flannelIn).filter((plugin) => plugin !== undefined);
  const delegates = plugins.map((plugin) => objectAt(plugin, 'delegate')).filter((one) => one !== undefined);
  const ipams = [...plugins, ...delegates].map((one) => objectAt(one, 'ipam')).filter((one) => one !== undefined);
  const network = roots.map((root) => textAt(root, 'name')).find((name) => name !== undefined && isFileName(name));
  const networks = firstText(ipams, 'dataDir') ?? `${stateDir}/networks`;
  return {
    network: network ?? 'cbr0',
    bridge: firstText(delegates, 'bridge') ?? 'cni0',
    isBridged: delegates.every((one) => (textAt(one, 'type') ?? 'bridge') === 'bridge'),
    addressFolder: `${networks}/${network ?? 'cbr0'}`,
    savedFolder: firstText(plugins, 'dataDir') ?? `${stateDir}/flannel`,
  };
}

function objectIn(text: string): JsonObject | undefined {
  try {
    const root = parseJson(text);
    return isJsonObject(root) ? root : undefined;
  } catch {
    return undefined;
  }
}

function flannelIn(root: JsonObject): JsonObject | undefined {
  const plugins = field(root, 'plugins');
  if (!Array.isArray(plugins)) return undefined;
  return plugins.filter(isJsonObject).find((plugin) => field(plugin, 'type') === 'flannel');
}

/** The flannel plugin of a conflist; undefined when the text is no JSON or names none. */
export function flannelPluginIn(conflist: string): JsonObject | undefined {
  const root = objectIn(conflist);
  return root && flannelIn(root);
}

export function objectAt(object: JsonObject, key: string): JsonObject | undefined {
  const value = field(object, key);
  return isJsonObject(value) ? value : undefined;
}

function textAt(object: JsonObject, key: string): string | undefined {
  const value = field(object, key);
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function firstText(objects: readonly JsonObject[], key: string): string | undefined {
  return objects.map((object) => textAt(object, key)).find((text) => text !== undefined);
}

/** The name becomes part of a path, so it may have only these characters. */
function isFileName(name: string): boolean {
  return /^[A-Za-z0-9][A-Za-z0-9_.-]*$/.test(name);
}
