// A pod of the lab: a network namespace on a node, attached by the CNI plugins.

import type { JsonObject } from './cni/conflist.ts';
import type { PluginRun } from './cni/invoke.ts';
import type { CommandOptions, CommandResult } from './command.ts';
import type { PodDelOutcome, PodState, PodTimings, ProbeAnswer, RunnerMethods } from './contract.ts';
import { type Pinger, type PingOptions, probeRequest } from './matrix.ts';
import type { RpcClient } from './rpc.ts';

/** What a pod needs to know about its node. */
export interface PodHome {
  readonly name: string;
  /** The pid of the node's first process, as this process sees it. */
  readonly pid: number;
  readonly runner: RpcClient<RunnerMethods>;
  removePod(name: string): Promise<PodDelOutcome>;
}

export class LabPod implements Pinger {
  readonly node: PodHome;
  readonly #state: PodState;

  constructor(node: PodHome, state: PodState) {
    this.node = node;
    this.#state = state;
  }

  get name(): string {
    return this.#state.name;
  }
  get containerId(): string {
    return this.#state.containerId;
  }
  /** The path of the pod's network namespace inside the node. */
  get netns(): string {
    return this.#state.netns;
  }
  /** The path of the same namespace as this process sees it. */
  get netnsFromOutside(): string {
    return `/proc/${this.node.pid}/root${this.#state.netns}`;
  }
  /** The pod's first address. */
  get ip(): string {
    return this.#state.ips[0] ?? '';
  }
  get ips(): readonly string[] {
    return this.#state.ips;
  }
  /** The result that the last plugin of the chain printed. */
  get result(): JsonObject {
    return this.#state.result;
  }
  get timings(): PodTimings {
    return this.#state.timings;
  }

  async exec(argv: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
    return await this.node.runner.call('exec', { argv, netns: this.netns, ...options });
  }

  async ping(targets: readonly string[], options: PingOptions = {}): Promise<readonly ProbeAnswer[]> {
    return await this.node.runner.call('probe', probeRequest(targets, this.netns, options));
  }

  async check(): Promise<readonly PluginRun[]> {
    return await this.node.runner.call('podCheck', { name: this.name });
  }

  /** Runs DEL and removes the namespace. */
  async remove(): Promise<PodDelOutcome> {
    return await this.node.removePod(this.name);
  }
}
