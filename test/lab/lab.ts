// The lab: several nodes on one machine as namespaces, each with an agent and pods. Demo, tests and bench use it:
//   const lab = await startLab({ nodes: 3 });
//   const pod = await lab.node('node-1').addPod();
//   await lab.down();

import { OpError } from '../../lib/errors.ts';
import { LEASE_FOLDER } from './contract.ts';
import { MAX_NODES, UNDERLAY_GATEWAY } from './host/underlay.ts';
import { LabNode } from './lab-node.ts';
import type { LabPod } from './lab-pod.ts';
import { endLab, type LabHost, launchLab, reachHost, releaseLab } from './launch.ts';
import { type Pair, type PingOptions, pingMatrix } from './matrix.ts';
import { subnetOf, waitForMesh } from './mesh.ts';
import { type NodeOptions, nodeSpec } from './node-spec.ts';
import { keptLab, keptLabs, reapLabs } from './registry.ts';

export interface LabOptions extends NodeOptions {
  readonly nodes?: number;
  /** The lab's name, of letters, digits and dashes. When absent, it is made from the pid. */
  readonly name?: string;
  /** Whether the lab can be kept. After `keep()` it survives this process, and `attachLab` finds it. */
  readonly keepable?: boolean;
  /** Called after each step. */
  readonly onStep?: (step: LabStep) => void;
}

export interface LabStep {
  readonly name: 'underlay' | 'nodes' | 'agents';
  readonly detail: string;
  readonly durationMs: number;
}

let labsStarted = 0;

/** Starts a lab. Needs root. When it rejects, it has removed what it made. */
export async function startLab(options: LabOptions = {}): Promise<Lab> {
  const { keepable = false, nodes = 3 } = options;
  labsStarted += 1;
  const name = options.name ?? `lab-${process.pid}-${labsStarted}`;
  checkStart(name, nodes);
  await reapLabs();
  if (keptLabs().some((kept) => kept.name === name)) {
    throw new OpError({
      subsystem: 'lab',
      op: 'start',
      object: `lab ${name}`,
      code: 'EEXIST',
      detail: 'npm run lab -- down ends it',
    });
  }
  const before = performance.now();
  const host = await launchLab(name, keepable);
  const lab = new Lab(host, options);
  try {
    options.onStep?.({
      name: 'underlay',
      detail: `bridge ${UNDERLAY_GATEWAY}/24`,
      durationMs: performance.now() - before,
    });
    await lab.addNodes(nodes);
    return lab;
  } catch (error) {
    await endLab(host);
    throw error;
  }
}

/** Finds a kept lab. Call `detach` when done with it, or the process stays. */
export async function attachLab(name: string): Promise<Lab> {
  await reapLabs();
  const { init } = keptLab(name);
  const lab = new Lab({ name, init, rpc: await reachHost(name, init) }, {});
  await lab.refresh();
  return lab;
}

export class Lab {
  readonly name: string;
  readonly #host: LabHost;
  readonly #options: LabOptions;
  #nodes: LabNode[] = [];

  constructor(host: LabHost, options: LabOptions) {
    this.name = host.name;
    this.#host = host;
    this.#options = options;
  }

  get nodes(): readonly LabNode[] {
    return this.#nodes;
  }
  get pods(): LabPod[] {
    return this.#nodes.flatMap((node) => node.pods);
  }
  /** The pid of the lab's first process, as this process sees it. */
  get pid(): number {
    return this.#host.init.pid;
  }
  /** The folder with the leases that all nodes share, as this process sees it. */
  get leaseFolder(): string {
    return `/proc/${this.pid}/root${LEASE_FOLDER}`;
  }

  /** Returns the node of that name. Throws an OpError (ENOENT) when there is none. */
  node(name: string): LabNode {
    const node = this.#nodes.find((one) => one.name === name);
    if (node !== undefined) return node;
    const detail = `there are ${this.#nodes.map((one) => one.name).join(', ')}`;
    throw new OpError({ subsystem: 'lab', op: 'find', object: `node ${name}`, code: 'ENOENT', detail });
  }

  /** Boots `count` more nodes at the same time and starts their agents, unless told otherwise. */
  async addNodes(count: number): Promise<LabNode[]> {
    const onStep = this.#options.onStep;
    const first = Math.max(0, ...this.#nodes.map(({ index }) => index)) + 1;
    const indexes = Array.from({ length: count }, (_, offset) => first + offset);
    const before = performance.now();
    const booted = await Promise.all(indexes.map((index) => this.#boot(index)));
    this.#nodes.push(...booted);
    const names = shortList(booted.map(({ name }) => name));
    onStep?.({ name: 'nodes', detail: names, durationMs: performance.now() - before });
    if (this.#startsAgents()) {
      const start = performance.now();
      await Promise.all(booted.map(startAgent));
      await waitForMesh(this.#nodes);
      onStep?.({
        name: 'agents',
        detail: shortList(booted.map((node) => subnetOf(node) ?? 'no subnet')),
        durationMs: performance.now() - start,
      });
    }
    return booted;
  }

  /** Kills a node as a power cut would, and removes it from the lab. Its lease stays, as it would in a cluster. */
  async removeNode(name: string): Promise<void> {
    this.node(name).disconnect();
    await this.#host.rpc.call('removeNode', { name });
    this.#nodes = this.#nodes.filter((node) => node.name !== name);
  }

  async matrix(options: PingOptions = {}): Promise<Pair[]> {
    return await pingMatrix(this.pods, options);
  }

  /** Removes everything and resolves when nothing is left in the kernel. A second call does nothing. */
  async down(): Promise<void> {
    for (const node of this.#nodes) node.disconnect();
    // First each node is removed through the host program, which waits until the node's device is gone. Then everything else is
    // ended, even if that failed.
    await Promise.allSettled(this.#nodes.map(({ name }) => this.#host.rpc.call('removeNode', { name })));
    this.#nodes = [];
    await endLab(this.#host);
  }

  /** Lets a lab that was started `keepable` outlive this process. `npm run lab -- down` or `down` ends it. */
  async keep(): Promise<void> {
    await releaseLab(this.#host);
  }

  /** Lets this process end while a kept lab stays. */
  detach(): void {
    for (const node of this.#nodes) node.disconnect();
    this.#host.rpc.close();
  }

  /** Asks the lab itself which nodes it has. */
  async refresh(): Promise<void> {
    const places = await this.#host.rpc.call('listNodes', null);
    const home = { initPid: this.#host.init.pid, rpc: this.#host.rpc };
    const nodes = await Promise.all(places.map((place) => LabNode.connect(home, place)));
    this.#nodes = nodes.sort((a, b) => a.index - b.index);
  }

  async #boot(index: number): Promise<LabNode> {
    const place = await this.#host.rpc.call('addNode', nodeSpec(index, this.#options));
    return await LabNode.connect({ initPid: this.#host.init.pid, rpc: this.#host.rpc }, place);
  }

  #startsAgents(): boolean {
    const { agent } = this.#options;
    return agent !== false && agent?.start !== false;
  }
}

/** Returns up to three names; of more, the first and the last. */
function shortList(names: readonly string[]): string {
  return names.length <= 3 ? names.join(', ') : `${names.length}: ${names[0]} … ${names.at(-1)}`;
}

async function startAgent(node: LabNode): Promise<void> {
  await node.agent.start();
  await node.agent.ready();
}

function checkStart(name: string, nodes: number): void {
  const refuse = (object: string, detail: string): never => {
    throw new OpError({ subsystem: 'lab', op: 'start', object, code: 'EINVAL', detail });
  };
  if (process.getuid?.() !== 0) refuse(`lab ${name}`, 'a lab needs root');
  if (!/^[a-z0-9][a-z0-9-]{0,40}$/.test(name)) refuse(`lab ${name}`, 'a name has small letters, digits and dashes');
  if (!Number.isInteger(nodes) || nodes < 0 || nodes > MAX_NODES) refuse(`${nodes} nodes`, `0 to ${MAX_NODES}`);
}
