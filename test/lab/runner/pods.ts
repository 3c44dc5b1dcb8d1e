// The node's container runtime. A pod is a named network namespace that is attached by executing the conflist.

import { randomBytes, randomUUID } from 'node:crypto';
import { OpError } from '../../../lib/errors.ts';
import type { Syscalls } from '../../../lib/sys/syscalls.ts';
import { defaultNetworkList, type JsonObject, type NetworkList, parseNetworkList } from '../cni/conflist.ts';
import { CniDriver } from '../cni/driver.ts';
import type { ExecutePlugin, PluginRun } from '../cni/invoke.ts';
import type { RuntimeConf } from '../cni/result-cache.ts';
import { monotonicNs } from '../command.ts';
import {
  CNI_BIN_FOLDER,
  CNI_CACHE_FOLDER,
  CONFLIST_FOLDER,
  type PodAddRequest,
  type PodDelOutcome,
  type PodState,
} from '../contract.ts';
import { makeNetns, NETNS_FOLDER, removeNetns } from './netns.ts';

interface Pod {
  readonly state: PodState;
  readonly list: NetworkList;
  readonly rt: RuntimeConf;
  readonly driver: CniDriver;
}

export class PodRuntime {
  readonly #sys: Syscalls;
  readonly #execute: ExecutePlugin;
  readonly #driver: CniDriver;
  readonly #pods = new Map<string, Pod>();

  constructor(sys: Syscalls, execute: ExecutePlugin) {
    this.#sys = sys;
    this.#execute = execute;
    this.#driver = this.#driverOf([CNI_BIN_FOLDER]);
  }

  #driverOf(cniPath: readonly string[]): CniDriver {
    return new CniDriver({ cniPath, cacheDir: CNI_CACHE_FOLDER, execute: this.#execute });
  }

  /** Makes the namespace and attaches it. When ADD fails, it does what a runtime does: it sends DEL and removes the namespace. */
  async add(request: PodAddRequest): Promise<PodState> {
    if (this.#pods.has(request.name)) throw podError('add', request.name, 'EEXIST');
    const list =
      request.conflist === undefined ? defaultNetworkList(CONFLIST_FOLDER) : parseNetworkList(request.conflist);
    const rt = runtimeConf(request);
    const driver = request.cniPath === undefined ? this.#driver : this.#driverOf(request.cniPath);
    const before = monotonicNs();
    if (request.netns === undefined) makeNetns(this.#sys, rt.netns);
    const netnsMs = (monotonicNs() - before) / 1e6;
    try {
      const { result, runs } = await driver.add(list, rt);
      const timings = { netnsMs, addMs: spanMs(runs), runs };
      const state = { name: request.name, ...place(rt), ips: resultIps(result), result, timings };
      this.#pods.set(request.name, { state, list, rt, driver });
      return state;
    } catch (error) {
      // Only the first error is reported, because an error of the DEL after it adds nothing.
      await driver.del(list, rt).catch(() => undefined);
      removeNetns(this.#sys, rt.netns);
      throw error;
    }
  }

  async del(name: string): Promise<PodDelOutcome> {
    const { list, rt, driver } = this.#find(name, 'delete');
    const runs = await driver.del(list, rt);
    removeNetns(this.#sys, rt.netns);
    this.#pods.delete(name);
    return { delMs: spanMs(runs), runs };
  }

  async check(name: string): Promise<readonly PluginRun[]> {
    const { list, rt, driver } = this.#find(name, 'check');
    return await driver.check(list, rt);
  }

  list(): PodState[] {
    return [...this.#pods.values()].map(({ state }) => state);
  }

  async status(): Promise<readonly PluginRun[]> {
    return await this.#driver.status(defaultNetworkList(CONFLIST_FOLDER));
  }

  async gc(): Promise<readonly PluginRun[]> {
    const valid = this.list().map(({ containerId, ifName }) => ({ containerID: containerId, ifname: ifName }));
    return await this.#driver.gc(defaultNetworkList(CONFLIST_FOLDER), valid);
  }

  #find(name: string, op: string): Pod {
    const pod = this.#pods.get(name);
    if (pod === undefined) throw podError(op, name, 'ENOENT');
    return pod;
  }
}

function runtimeConf(request: PodAddRequest): RuntimeConf {
  return {
    containerId: request.containerId ?? randomBytes(32).toString('hex'),
    netns: request.netns ?? `${NETNS_FOLDER}/cni-${randomUUID()}`,
    ifName: request.ifName ?? 'eth0',
    args: request.args ?? [
      ['IgnoreUnknown', '1'],
      ['K8S_POD_NAMESPACE', 'lab'],
      ['K8S_POD_NAME', request.name],
    ],
    capabilityArgs: request.capabilityArgs,
  };
}

function place({ containerId, netns, ifName }: RuntimeConf): Pick<PodState, 'containerId' | 'netns' | 'ifName'> {
  return { containerId, netns, ifName };
}

function resultIps(result: JsonObject): string[] {
  const ips = (result['ips'] ?? []) as { address: string }[];
  return ips.map(({ address }) => address.split('/')[0] ?? address);
}

function spanMs(runs: readonly PluginRun[]): number {
  const [first, last] = [runs[0], runs.at(-1)];
  return first === undefined || last === undefined ? 0 : (last.endNs - first.startNs) / 1e6;
}

function podError(op: string, name: string, code: string): OpError {
  return new OpError({ subsystem: 'lab', op, object: `pod ${name}`, code });
}
