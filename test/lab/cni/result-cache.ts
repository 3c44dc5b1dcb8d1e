// The results that a runtime keeps about what it attached, in libcni's file format (libcni/api.go, kind cniCacheV1):
// <folder>/results/<network>-<container id>-<interface>. A later DEL, CHECK or GC uses them.

import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isObject, type JsonObject, type NetworkList } from './conflist.ts';

/** One attachment: the container, its namespace and the interface in it. */
export interface RuntimeConf {
  readonly containerId: string;
  readonly netns: string;
  readonly ifName: string;
  /** The value of CNI_ARGS. */
  readonly args?: readonly (readonly [string, string])[] | undefined;
  /** What the runtime offers. A plugin gets only the keys that it declares as its capabilities. */
  readonly capabilityArgs?: JsonObject | undefined;
}

export interface CachedAttachment {
  readonly networkName: string;
  readonly containerId: string;
  readonly ifName: string;
  readonly netns: string;
  readonly args: readonly (readonly [string, string])[];
  readonly capabilityArgs: JsonObject;
  /** The configuration list with which it was attached. */
  readonly configText: string;
  readonly result: JsonObject;
}

const KIND = 'cniCacheV1';

export function cachePath(cacheDir: string, network: string, { containerId, ifName }: RuntimeConf): string {
  return join(cacheDir, 'results', `${network}-${containerId}-${ifName}`);
}

export function writeCachedResult(cacheDir: string, list: NetworkList, rt: RuntimeConf, result: JsonObject): void {
  mkdirSync(join(cacheDir, 'results'), { recursive: true, mode: 0o700 });
  const entry = {
    kind: KIND,
    containerId: rt.containerId,
    config: Buffer.from(list.text).toString('base64'),
    ifName: rt.ifName,
    networkName: list.name,
    netns: rt.netns,
    ...(rt.args === undefined ? {} : { cniArgs: rt.args }),
    ...(rt.capabilityArgs === undefined ? {} : { capabilityArgs: rt.capabilityArgs }),
    result,
  };
  writeFileSync(cachePath(cacheDir, list.name, rt), JSON.stringify(entry), { mode: 0o600 });
}

/** Returns undefined when nothing is cached. Throws when the cached result cannot be read. */
export function readCachedResult(cacheDir: string, network: string, rt: RuntimeConf): JsonObject | undefined {
  const path = cachePath(cacheDir, network, rt);
  const text = readIfThere(path);
  return text === undefined ? undefined : parseEntry(text, path).result;
}

export function removeCachedResult(cacheDir: string, network: string, rt: RuntimeConf): void {
  rmSync(cachePath(cacheDir, network, rt), { force: true });
}

/** Returns every readable cached attachment of `network`. */
export function listCached(cacheDir: string, network: string): CachedAttachment[] {
  const folder = join(cacheDir, 'results');
  return namesIn(folder).flatMap((name) => {
    try {
      const entry = parseEntry(readFileSync(join(folder, name), 'utf8'), name);
      return entry.networkName === network ? [entry] : [];
    } catch {
      // libcni skips what it cannot read here, so this does, too.
      return [];
    }
  });
}

function parseEntry(text: string, path: string): CachedAttachment {
  const entry: unknown = JSON.parse(text);
  if (!isObject(entry) || entry['kind'] !== KIND || !isObject(entry['result'])) {
    throw new Error(`read cached result ${path}: unknown kind or no result`);
  }
  return {
    networkName: String(entry['networkName']),
    containerId: String(entry['containerId']),
    ifName: String(entry['ifName']),
    netns: String(entry['netns'] ?? ''),
    args: (entry['cniArgs'] ?? []) as [string, string][],
    capabilityArgs: (entry['capabilityArgs'] ?? {}) as JsonObject,
    configText: Buffer.from(String(entry['config']), 'base64').toString('utf8'),
    result: entry['result'],
  };
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder).sort();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
