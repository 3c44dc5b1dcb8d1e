// Runs a configuration list in the way of a container runtime, by libcni's rules for ADD, DEL, CHECK, GC and STATUS
// (libcni/api.go). Apart from the plugins it executes and the result cache, it has no side effects.

import { errorText } from '../../../lib/errors.ts';
import { slowed } from '../../support/slowness.ts';
import { compareVersions, isObject, type JsonObject, type NetworkList, type PluginConf } from './conflist.ts';
import {
  type CniCommand,
  CniError,
  type ExecutePlugin,
  executeWithNode,
  invokePlugin,
  type PluginRun,
  parseResult,
} from './invoke.ts';
import {
  type CachedAttachment,
  listCached,
  type RuntimeConf,
  readCachedResult,
  removeCachedResult,
  writeCachedResult,
} from './result-cache.ts';

export interface DriverOptions {
  /** The folders in which plugins are looked for, in order. */
  readonly cniPath: readonly string[];
  /** The folder in which results are kept, usually /var/lib/cni. */
  readonly cacheDir: string;
  /** Each plugin is killed after this time. The default is 2 minutes, as in a runtime. */
  readonly timeoutMs?: number;
  /** The function that starts a plugin. By default it is Node's own spawn. */
  readonly execute?: ExecutePlugin;
}

export interface AddOutcome {
  readonly result: JsonObject;
  readonly runs: readonly PluginRun[];
}

export interface ValidAttachment {
  readonly containerID: string;
  readonly ifname: string;
}

const DEFAULT_TIMEOUT_MS = slowed(120_000);

export class CniDriver {
  readonly #options: DriverOptions;

  constructor(options: DriverOptions) {
    this.#options = options;
  }

  /**
   * ADD runs the plugins in order. Each gets the result of the one before it, and the last result is cached. When a plugin fails,
   * ADD ends and nothing is cached.
   */
  async add(list: NetworkList, rt: RuntimeConf): Promise<AddOutcome> {
    checkRuntimeConf(list, rt);
    const runs: PluginRun[] = [];
    let result: JsonObject | undefined;
    for (const plugin of list.plugins) {
      const config = pluginConfig(list, plugin, { prevResult: result, capabilityArgs: rt.capabilityArgs });
      const stdout = await this.#invoke(plugin, 'ADD', attachmentEnv(rt), config, runs);
      result = parseResult(stdout, list.cniVersion);
    }
    if (result === undefined) throw new Error('no plugins in list');
    writeCachedResult(this.#options.cacheDir, list, rt, result);
    return { result, runs };
  }

  /**
   * DEL runs the plugins in reverse order. Each gets the cached result (from version 0.4.0 on). When a plugin fails, DEL ends and
   * the cache stays.
   */
  async del(list: NetworkList, rt: RuntimeConf): Promise<readonly PluginRun[]> {
    checkRuntimeConf(list, rt);
    const runs: PluginRun[] = [];
    const prevResult = compareVersions(list.cniVersion, '0.4.0') < 0 ? undefined : this.#tolerantCached(list, rt);
    for (const plugin of list.plugins.toReversed()) {
      const config = pluginConfig(list, plugin, { prevResult, capabilityArgs: rt.capabilityArgs });
      await this.#invoke(plugin, 'DEL', attachmentEnv(rt), config, runs);
    }
    removeCachedResult(this.#options.cacheDir, list.name, rt);
    return runs;
  }

  /** CHECK runs the plugins in order, each with the cached result. It needs version 0.4.0 and a readable result. */
  async check(list: NetworkList, rt: RuntimeConf): Promise<readonly PluginRun[]> {
    requireVersion(list, '0.4.0', 'CHECK');
    if (list.disableCheck) return [];
    checkRuntimeConf(list, rt);
    const prevResult = this.#cached(list, rt);
    const runs: PluginRun[] = [];
    for (const plugin of list.plugins) {
      const config = pluginConfig(list, plugin, { prevResult, capabilityArgs: rt.capabilityArgs });
      await this.#invoke(plugin, 'CHECK', attachmentEnv(rt), config, runs);
    }
    return runs;
  }

  /** STATUS runs the plugins in order. The first that is not ready ends it with its error. */
  async status(list: NetworkList): Promise<readonly PluginRun[]> {
    const runs: PluginRun[] = [];
    if (compareVersions(list.cniVersion, '1.1.0') < 0) return runs;
    for (const plugin of list.plugins) {
      await this.#invoke(plugin, 'STATUS', networkEnv(), pluginConfig(list, plugin, {}), runs);
    }
    return runs;
  }

  /**
   * GC runs DEL for every cached attachment of the network that is not in `valid`, and then (from version 1.1.0 on) GC for every
   * plugin. It goes on after an error and throws all errors together at the end.
   */
  async gc(list: NetworkList, valid: readonly ValidAttachment[]): Promise<readonly PluginRun[]> {
    if (list.disableGc) return [];
    const runs: PluginRun[] = [];
    const errors: unknown[] = [];
    for (const stale of this.#staleAttachments(list, valid)) {
      await collect(errors, async () => runs.push(...(await this.del(list, stale))));
    }
    if (compareVersions(list.cniVersion, '1.1.0') >= 0) {
      for (const plugin of list.plugins) {
        const attachments = { 'cni.dev/valid-attachments': valid, 'cni.dev/attachments': valid };
        const config = pluginConfig(list, plugin, { inject: attachments });
        await collect(errors, () => this.#invoke(plugin, 'GC', networkEnv(), config, runs));
      }
    }
    if (errors.length > 0) throw new AggregateError(errors, errors.map(errorText).join('\n'));
    return runs;
  }

  #staleAttachments(list: NetworkList, valid: readonly ValidAttachment[]): CachedAttachment[] {
    const keep = new Set(valid.map(({ containerID, ifname }) => `${containerID}/${ifname}`));
    return listCached(this.#options.cacheDir, list.name).filter((c) => !keep.has(`${c.containerId}/${c.ifName}`));
  }

  #cached(list: NetworkList, rt: RuntimeConf): JsonObject {
    try {
      const result = readCachedResult(this.#options.cacheDir, list.name, rt);
      if (result !== undefined) return result;
    } catch (cause) {
      throw new Error(`failed to get network "${list.name}" cached result: ${errorText(cause)}`, { cause });
    }
    throw new Error(`failed to get network "${list.name}" cached result: there is none`);
  }

  #tolerantCached(list: NetworkList, rt: RuntimeConf): JsonObject | undefined {
    try {
      return readCachedResult(this.#options.cacheDir, list.name, rt);
    } catch {
      // An unreadable cache must not make DEL fail, because the pod could then never be removed.
      return undefined;
    }
  }

  async #invoke(
    plugin: PluginConf,
    command: CniCommand,
    env: Record<string, string>,
    config: JsonObject,
    runs: PluginRun[],
  ): Promise<string> {
    const { cniPath, timeoutMs = DEFAULT_TIMEOUT_MS, execute = executeWithNode } = this.#options;
    const call = { type: plugin.type, command, env, stdin: sortedJson(config), cniPath, timeoutMs, execute };
    try {
      const { stdout } = await invokePlugin(call, (run) => runs.push(run));
      return stdout;
    } catch (error) {
      throw inChain(error, plugin, command);
    }
  }
}

const CHAIN_WORDS: Record<CniCommand, string> = {
  ADD: 'add',
  DEL: 'delete',
  CHECK: 'check',
  GC: 'gc',
  STATUS: 'status',
  VERSION: 'version',
};

/** Adds to the error which plugin failed. Callers can still read code and details. */
function inChain(error: unknown, plugin: PluginConf, command: CniCommand): Error {
  const message = `plugin type="${plugin.type}" failed (${CHAIN_WORDS[command]}): ${errorText(error)}`;
  if (!(error instanceof CniError)) return new Error(message, { cause: error });
  const wrapped = new CniError(error.code, message);
  wrapped.cause = error;
  return wrapped;
}

async function collect(errors: unknown[], body: () => Promise<unknown>): Promise<void> {
  try {
    await body();
  } catch (error) {
    errors.push(error);
  }
}

interface Injected {
  readonly prevResult?: JsonObject | undefined;
  readonly capabilityArgs?: JsonObject | undefined;
  readonly inject?: JsonObject;
}

/** Returns what a plugin gets on stdin: its entry in the list, and what libcni adds. */
function pluginConfig(list: NetworkList, plugin: PluginConf, injected: Injected): JsonObject {
  const runtimeConfig = Object.fromEntries(
    Object.entries(injected.capabilityArgs ?? {}).filter(([capability]) => plugin.capabilities[capability] === true),
  );
  return {
    ...plugin.conf,
    name: list.name,
    cniVersion: list.cniVersion,
    ...injected.inject,
    ...(injected.prevResult === undefined ? {} : { prevResult: injected.prevResult }),
    ...(Object.keys(runtimeConfig).length === 0 ? {} : { runtimeConfig }),
  };
}

function attachmentEnv(rt: RuntimeConf): Record<string, string> {
  return {
    CNI_CONTAINERID: rt.containerId,
    CNI_NETNS: rt.netns,
    CNI_IFNAME: rt.ifName,
    CNI_ARGS: (rt.args ?? []).map(([key, value]) => `${key}=${value}`).join(';'),
  };
}

/** libcni sets these keys to empty values and does not leave them out. */
function networkEnv(): Record<string, string> {
  return { CNI_CONTAINERID: '', CNI_NETNS: '', CNI_IFNAME: '', CNI_ARGS: '' };
}

function checkRuntimeConf(list: NetworkList, { containerId, ifName }: RuntimeConf): void {
  const name = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;
  if (!name.test(containerId)) throw new CniError(4, 'invalid characters in containerID', containerId);
  if (!name.test(list.name)) throw new CniError(7, 'invalid characters found in network name', list.name);
  if (ifName === '') throw new CniError(4, 'interface name is empty');
  if (ifName.length > 15) throw new CniError(4, 'interface name is too long');
  if (ifName === '.' || ifName === '..') throw new CniError(4, 'interface name is . or ..');
  if (/[/:\s]/.test(ifName)) throw new CniError(4, 'interface name contains / or : or whitespace characters');
}

function requireVersion(list: NetworkList, least: string, command: CniCommand): void {
  if (compareVersions(list.cniVersion || '0.1.0', least) >= 0) return;
  throw new Error(`configuration version "${list.cniVersion}" does not support the ${command} command`);
}

/** Returns JSON with sorted keys, as Go writes a map, so that plugins get the same bytes as from a runtime. */
export function sortedJson(value: unknown): string {
  return JSON.stringify(value, (_key, field: unknown) =>
    isObject(field) ? Object.fromEntries(Object.entries(field).sort(([a], [b]) => (a < b ? -1 : 1))) : field,
  );
}
