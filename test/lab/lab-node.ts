// A node of the lab as its owner drives it.

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

/** What a node needs to know of its lab. */
export interface NodeHome {
  /** The lab's first process, by this process's numbers. */
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

  /** Connects to a node that has booted and learns its pods. */
  static async connect(home: NodeHome, place: NodePlace): Promise<LabNode> {
    const { pid, runner } = await reachRunner(home, place);
    const node = new LabNode(home, place, pid, runner);
    node.#pods = (await runner.call('podList', null)).map((state) => new LabPod(node, state));
    return node;
  }

  /** Its address on the underlay. */
  get address(): string {
    return this.#place.address.split('/')[0] ?? '';
  }
  /** Its first process by this process's numbers: /proc/PID/root is its root folder, /proc/PID/ns/net its network. */
  get pid(): number {
    return this.#pid;
  }
  get pods(): readonly LabPod[] {
    return this.#pods;
  }
  get runner(): RpcClient<RunnerMethods> {
    return this.#runner;
  }

  /** The path in the node as this process sees it. */
  pathFromOutside(path: string): string {
    return `/proc/${this.#pid}/root${path}`;
  }

  /** Writes a file of the node, making its folder. */
  writeFile(path: string, text: string): void {
    const outside = this.pathFromOutside(path);
    mkdirSync(dirname(outside), { recursive: true });
    writeFileSync(outside, text);
  }

  readFile(path: string): string {
    return readFileSync(this.pathFromOutside(path), 'utf8');
  }

  /** Runs a program in the node; resolves however it ends. */
  async exec(argv: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
    return await this.#runner.call('exec', { argv, ...options });
  }

  /** As `exec`, but anything other than exit code 0 is an OpError. Returns its stdout. */
  async run(argv: readonly string[], options: CommandOptions = {}): Promise<string> {
    const { exitCode, stdout, stderr } = await this.exec(argv, options);
    if (exitCode === 0) return stdout;
    const detail = stderr.trim() || stdout.trim();
    throw new OpError({ subsystem: 'exec', op: 'run', object: argv.join(' '), code: `exit ${exitCode}`, detail });
  }

  async ping(targets: readonly string[], options: PingOptions = {}): Promise<readonly ProbeAnswer[]> {
    return await this.#runner.call('probe', probeRequest(targets, undefined, options));
  }

  /** Makes a namespace and attaches it by executing the conflist; rejects with the plugin's error. */
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

  /** STATUS of the conflist's plugins. */
  async cniStatus(): Promise<readonly PluginRun[]> {
    return await this.#runner.call('cniStatus', null);
  }

  /** GC that keeps the pods of this node. */
  async cniGc(): Promise<readonly PluginRun[]> {
    return await this.#runner.call('cniGc', null);
  }

  /** A power cut and a boot: the disk stays; /run, processes, pods and network do not. The agent is not started. */
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

  /** A number is not used again while this object lives: pods may be added many at once. */
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
  /** Resolves with the milliseconds from its start until it was ready. */
  async ready(): Promise<number> {
    return (await this.#node.runner.call('agentReady', null)).readyMs;
  }
  /** SIGTERM; resolves with how it ended. */
  async stop(timeoutMs = AGENT_STOP_MS): Promise<AgentState> {
    return await this.#node.runner.call('agentStop', { timeoutMs });
  }
  /** SIGKILL; resolves when it is gone. */
  async kill(): Promise<AgentState> {
    return await this.#node.runner.call('agentKill', null);
  }
  async state(): Promise<AgentState> {
    return await this.#node.runner.call('agentState', null);
  }
  /** GET from its probe server: `/readyz?verbose`, `/metrics`. */
  async http(path: string): Promise<HttpAnswer> {
    return await this.#node.runner.call('agentHttp', { path });
  }
  /** Everything it has logged since the node booted. */
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
