// A node of the lab, as the lab's owner uses it.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { OpError } from '../../lib/errors.ts';
import type { PluginRun } from './cni/invoke.ts';
import type { CommandOptions, CommandResult } from './command.ts';
import {
  AGENT_LOG,
  type AgentState,
  type HostMethods,
  type HttpAnswer,
  type NodePlace,
  type PodAddRequest,
  type PodDelOutcome,
  type ProbeAnswer,
  RUNNER_SOCKET,
  type RunnerMethods,
} from './contract.ts';
import { LabPod } from './lab-pod.ts';
import { type PingOptions, probeRequest } from './matrix.ts';
import { pidFromInside } from './processes.ts';
import { connectRpc, type RpcClient } from './rpc.ts';

const AGENT_STOP_MS = 10_000;

/** What a node needs to know about its lab. */
export interface NodeHome {
  /** The pid of the lab's first process, as this process sees it. */
  readonly initPid: number;
  readonly rpc: RpcClient<HostMethods>;
}

export class LabNode {
  readonly name: string;
  readonly index: number;
  readonly agent: LabAgent;
  readonly #home: NodeHome;
  #place: NodePlace;
  #pid: number;
  #runner: RpcClient<RunnerMethods>;
  #pods: LabPod[] = [];
  #podsNamed = 0;

  private constructor(home: NodeHome, place: NodePlace, pid: number, runner: RpcClient<RunnerMethods>) {
    this.name = place.name;
    this.index = place.index;
    this.agent = new LabAgent(this);
    this.#home = home;
    this.#place = place;
    this.#pid = pid;
    this.#runner = runner;
  }

  /** Connects to a node that has booted, and learns which pods it has. */
  static async connect(home: NodeHome, place: NodePlace): Promise<LabNode> {
    const { pid, runner } = await reachRunner(home, place);
    const node = new LabNode(home, place, pid, runner);
    node.#pods = (await runner.call('podList', null)).map((state) => new LabPod(node, state));
    return node;
  }

  /** The node's address on the underlay. */
  get address(): string {
    return this.#place.address.split('/')[0] ?? '';
  }
  /**
   * The pid of the node's first process, as this process sees it. /proc/PID/root is the node's root folder, /proc/PID/ns/net its
   * network.
   */
  get pid(): number {
    return this.#pid;
  }
  get pods(): readonly LabPod[] {
    return this.#pods;
  }
  get runner(): RpcClient<RunnerMethods> {
    return this.#runner;
  }

  /** Returns the path at which this process sees a file of the node. */
  pathFromOutside(path: string): string {
    return `/proc/${this.#pid}/root${path}`;
  }

  /** Writes a file of the node, and makes its folder. */
  writeFile(path: string, text: string): void {
    const outside = this.pathFromOutside(path);
    mkdirSync(dirname(outside), { recursive: true });
    writeFileSync(outside, text);
  }

  readFile(path: string): string {
    return readFileSync(this.pathFromOutside(path), 'utf8');
  }

  /** Runs a program in the node. Resolves whatever its exit code is. */
  async exec(argv: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
    return await this.#runner.call('exec', { argv, ...options });
  }

  /** Like `exec`, but any exit code other than 0 is an OpError. Resolves with the program's stdout. */
  async run(argv: readonly string[], options: CommandOptions = {}): Promise<string> {
    const { exitCode, stdout, stderr } = await this.exec(argv, options);
    if (exitCode === 0) return stdout;
    const detail = stderr.trim() || stdout.trim();
    throw new OpError({ subsystem: 'exec', op: 'run', object: argv.join(' '), code: `exit ${exitCode}`, detail });
  }

  async ping(targets: readonly string[], options: PingOptions = {}): Promise<readonly ProbeAnswer[]> {
    return await this.#runner.call('probe', probeRequest(targets, undefined, options));
  }

  /** Makes a namespace and attaches it by executing the conflist. Rejects with the plugin's error. */
  async addPod(request: Partial<PodAddRequest> = {}): Promise<LabPod> {
    const state = await this.#runner.call('podAdd', { name: this.#freePodName(), ...request });
    const pod = new LabPod(this, state);
    this.#pods.push(pod);
    return pod;
  }

  pod(name: string): LabPod {
    const pod = this.#pods.find((one) => one.name === name);
    if (pod !== undefined) return pod;
    throw new OpError({ subsystem: 'lab', op: 'find', object: `pod ${name} on ${this.name}`, code: 'ENOENT' });
  }

  async removePod(name: string): Promise<PodDelOutcome> {
    const outcome = await this.#runner.call('podDel', { name });
    this.#pods = this.#pods.filter((pod) => pod.name !== name);
    return outcome;
  }

  /** Runs STATUS of the conflist's plugins. */
  async cniStatus(): Promise<readonly PluginRun[]> {
    return await this.#runner.call('cniStatus', null);
  }

  /** Runs GC, which must keep the pods of this node. */
  async cniGc(): Promise<readonly PluginRun[]> {
    return await this.#runner.call('cniGc', null);
  }

  /**
   * Reboots the node as after a power cut. The disk stays; /run, processes, pods and the network do not. The agent is not started.
   */
  async reboot(): Promise<void> {
    this.#runner.close();
    this.#pods = [];
    this.#place = await this.#home.rpc.call('rebootNode', { name: this.name });
    const { pid, runner } = await reachRunner(this.#home, this.#place);
    this.#pid = pid;
    this.#runner = runner;
  }

  disconnect(): void {
    this.#runner.close();
  }

  /** A number is not used a second time while this object exists, because several pods may be added at the same time. */
  #freePodName(): string {
    const taken = new Set(this.#pods.map((pod) => pod.name));
    for (;;) {
      this.#podsNamed += 1;
      const name = `pod-${this.index}-${this.#podsNamed}`;
      if (!taken.has(name)) return name;
    }
  }
}

/** The agent of a node. */
export class LabAgent {
  readonly #node: LabNode;

  constructor(node: LabNode) {
    this.#node = node;
  }

  async start(): Promise<AgentState> {
    return await this.#node.runner.call('agentStart', null);
  }
  /** Resolves with the milliseconds from the agent's start until it was ready. */
  async ready(): Promise<number> {
    return (await this.#node.runner.call('agentReady', null)).readyMs;
  }
  /** Sends SIGTERM. Resolves with how the agent ended. */
  async stop(timeoutMs = AGENT_STOP_MS): Promise<AgentState> {
    return await this.#node.runner.call('agentStop', { timeoutMs });
  }
  /** Sends SIGKILL. Resolves when the agent is gone. */
  async kill(): Promise<AgentState> {
    return await this.#node.runner.call('agentKill', null);
  }
  async state(): Promise<AgentState> {
    return await this.#node.runner.call('agentState', null);
  }
  /** Sends a GET to the agent's probe server, for example for `/readyz?verbose` or `/metrics`. */
  async http(path: string): Promise<HttpAnswer> {
    return await this.#node.runner.call('agentHttp', { path });
  }
  /** Returns everything that the agent has logged since the node booted. */
  log(): string {
    return this.#node.readFile(AGENT_LOG);
  }
}

async function reachRunner(
  { initPid }: NodeHome,
  place: NodePlace,
): Promise<{ pid: number; runner: RpcClient<RunnerMethods> }> {
  const pid = pidFromInside(initPid, place.pid);
  if (pid === undefined) {
    throw new OpError({ subsystem: 'lab', op: 'find', object: `node ${place.name}`, code: 'ESRCH' });
  }
  return { pid, runner: await connectRpc<RunnerMethods>(`/proc/${pid}/root${RUNNER_SOCKET}`, `node ${place.name}`) };
}
