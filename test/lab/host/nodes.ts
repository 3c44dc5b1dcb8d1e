// Boots, reboots and removes nodes. A node is a child of the host program in namespaces of its own.

import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { OpError } from '../../../lib/errors.ts';
import { DISK_FOLDER, type NodePlace, type NodeSpec, RUNNER_SOCKET, type RunnerMethods } from '../contract.ts';
import { endNamespaces, firstInside, startInNamespaces } from '../namespace-process.ts';
import type { ProcessId } from '../processes.ts';
import { connectRpc } from '../rpc.ts';
import { plugIn, waitUnplugged } from './underlay.ts';

interface RunningNode {
  readonly spec: NodeSpec;
  readonly unshare: ChildProcess;
  readonly first: ProcessId;
}

export class NodeKeeper {
  readonly #labName: string;
  /** The bundled program that runs in each node. */
  readonly #runnerFile: string;
  readonly #nodes = new Map<string, RunningNode>();

  constructor(labName: string, runnerFile: string) {
    this.#labName = labName;
    this.#runnerFile = runnerFile;
  }

  /** Resolves when the runner answers and the underlay is up. */
  async add(spec: NodeSpec): Promise<NodePlace> {
    if (this.#nodes.has(spec.name)) throw nodeError('add', spec.name, 'EEXIST');
    const unshare = startInNamespaces({
      namespaces: ['mount', 'net', 'pid', 'uts', 'ipc'],
      title: `weft-node:${this.#labName}:${spec.name}`,
      argv: [process.execPath, this.#runnerFile, writeSpec(spec)],
      diesWithParent: true,
      stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
    });
    await firstLine(unshare, spec.name);
    const first = firstInside(unshare);
    if (first === undefined) throw nodeError('boot', spec.name, 'ended');
    this.#nodes.set(spec.name, { spec, unshare, first });
    await plugIn(spec.index, first.pid, spec.mtuBytes);
    const runner = await connectRpc<RunnerMethods>(`/proc/${first.pid}/root${RUNNER_SOCKET}`, spec.name);
    await runner.call('network', null);
    runner.close();
    return placeOf(spec, first);
  }

  /** Kills the node. Resolves when its underlay device is gone. */
  async remove(name: string): Promise<void> {
    const spec = await this.#end(name);
    rmSync(join(DISK_FOLDER, spec.name), { recursive: true, force: true });
  }

  /** Kills the node and boots it again. Its disk stays; its /run, processes and network do not. */
  async reboot(name: string): Promise<NodePlace> {
    return await this.add(await this.#end(name));
  }

  list(): NodePlace[] {
    return [...this.#nodes.values()].map(({ spec, first }) => placeOf(spec, first));
  }

  async #end(name: string): Promise<NodeSpec> {
    const node = this.#nodes.get(name);
    if (node === undefined) throw nodeError('find', name, 'ENOENT');
    await endNamespaces(node.first);
    await waitUnplugged(node.spec.index);
    this.#nodes.delete(name);
    return node.spec;
  }
}

/** The runner reads this file before it mounts its own /run over the folder. */
function writeSpec(spec: NodeSpec): string {
  const path = join(DISK_FOLDER, `${spec.name}.json`);
  writeFileSync(path, JSON.stringify(spec));
  return path;
}

function placeOf({ name, index, address }: NodeSpec, first: ProcessId): NodePlace {
  return { name, index, address, pid: first.pid };
}

/** Resolves when the program writes to its descriptor 3. Rejects with what the program printed when it ends instead. */
async function firstLine(child: ChildProcess, name: string): Promise<void> {
  let said = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    said = `${said}${chunk.toString()}`.slice(-4000);
  });
  const ready = child.stdio[3];
  if (ready === undefined || ready === null) throw nodeError('boot', name, 'no descriptor 3');
  const outcome = await Promise.race([
    once(ready, 'data').then(() => 'ready'),
    once(child, 'close').then(() => 'ended'),
  ]);
  if (outcome === 'ended') throw nodeError('boot', name, 'ended', said.trim());
}

function nodeError(op: string, name: string, code: string, detail?: string): OpError {
  return new OpError({ subsystem: 'lab', op, object: `node ${name}`, code, detail });
}
