// The site of the checks: lab nodes that each have an agent and a containerd, and the pods that checks make there.

import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { JsonObject } from '../../lab/cni/conflist.ts';
import { runCommand } from '../../lab/command.ts';
import { CONFLIST_FOLDER } from '../../lab/contract.ts';
import type { Lab } from '../../lab/lab.ts';
import type { LabNode } from '../../lab/lab-node.ts';
import type { AgentOptions } from '../../lab/node-spec.ts';
import { removeCgroups } from './cgroups.ts';
import { Containerd } from './containerd.ts';
import { writeImage } from './image.ts';
import { CriPod, type PodOptions } from './pod.ts';

export const CONFLIST = `${CONFLIST_FOLDER}/10-flannel.conflist`;
const IMAGE_FILE = '/run/image.tar';

export interface Plugins {
  /** The folder from which the plugins come. */
  readonly bin: string;
  /** The plugins' names in the nodes' bin_dir. */
  readonly names: readonly string[];
}

/** A site with something broken on purpose. */
export interface Variant {
  /** The text of an executable that replaces one of the plugins. */
  readonly instead?: { readonly name: string; readonly text: string };
  readonly nodes?: NodeChange;
  /** Is called once the agents are ready. */
  afterStart?(nodes: readonly LabNode[]): Promise<void>;
}

export interface NodeChange {
  readonly conflist?: JsonObject;
  readonly agent?: AgentOptions;
}

/** Starts nodes and their agents. */
export type StartNodes = (options: NodeChange & { readonly pluginFolder: string }) => Promise<Lab>;

interface CniResult {
  readonly Interfaces: Record<string, { readonly IPConfigs: readonly { readonly IP: string }[] }>;
}

/** The parts of containerd's sandbox status that the checks use. */
interface SandboxInfo {
  readonly pid: number;
  readonly cniResult: CniResult;
  readonly runtimeSpec: { readonly linux: { readonly namespaces: readonly { type: string; path?: string }[] } };
}

export class Site {
  readonly lab: Lab;
  readonly plugins: Plugins;
  readonly containerds: readonly Containerd[];
  readonly #pods = new Map<string, CriPod>();
  readonly #folder: string;

  private constructor(lab: Lab, plugins: Plugins, containerds: readonly Containerd[], folder: string) {
    this.lab = lab;
    this.plugins = plugins;
    this.containerds = containerds;
    this.#folder = folder;
  }

  /** Runs `start`, then starts a containerd on every node. */
  static async make(plugins: Plugins, start: StartNodes, variant: Variant): Promise<Site> {
    const folder = mkdtempSync(join(tmpdir(), `weft-containerd-${process.pid}-`));
    const [bin, image] = [join(folder, 'bin'), join(folder, 'image.tar')];
    installPlugins(plugins, bin, variant);
    writeImage(image);
    const lab = await start({ pluginFolder: bin, ...variant.nodes });
    await variant.afterStart?.(lab.nodes);
    const containerds = await Promise.all(lab.nodes.map((node) => startRuntime(node, image)));
    return new Site(lab, plugins, containerds, folder);
  }

  node(index: number): LabNode {
    return this.containerd(index).node;
  }

  /** The containerd of a node. `index` counts from 1, like the nodes' names. */
  containerd(index: number): Containerd {
    const found = this.containerds[index - 1];
    if (found === undefined) throw new Error(`no node ${index}`);
    return found;
  }

  async run(index: number, name: string, options: PodOptions = {}): Promise<CriPod> {
    const pod = await CriPod.run(this.containerd(index), name, options);
    this.#pods.set(name, pod);
    return pod;
  }

  /** A pod that an earlier check has made. */
  pod(name: string): CriPod {
    const pod = this.#pods.get(name);
    if (pod === undefined) throw new Error(`there is no pod ${name}: an earlier check failed`);
    return pod;
  }

  async end(name: string): Promise<void> {
    const pod = this.pod(name);
    await pod.stop();
    await pod.remove();
    this.#pods.delete(name);
  }

  forget(name: string): void {
    this.#pods.delete(name);
  }

  async endAll(): Promise<void> {
    for (const name of [...this.#pods.keys()]) await this.end(name);
  }

  /** The pod's addresses of every family, from the CNI result that containerd keeps. */
  async addresses(name: string): Promise<string[]> {
    const { cniResult } = await this.#info(name);
    return cniResult.Interfaces['eth0']?.IPConfigs.map(({ IP }) => IP) ?? [];
  }

  /** The sandbox's netns path and first pid, as seen in the node. */
  async sandboxPlace(name: string): Promise<{ readonly netns: string; readonly pid: number }> {
    const { pid, runtimeSpec } = await this.#info(name);
    const netns = runtimeSpec.linux.namespaces.find(({ type }) => type === 'network')?.path;
    if (netns === undefined) throw new Error(`no network namespace of ${name}`);
    return { netns, pid };
  }

  async #info(name: string): Promise<SandboxInfo> {
    return JSON.parse((await this.pod(name).status()).info['info'] ?? '{}') as SandboxInfo;
  }

  /** Runs a program in the underlay but on no node, which means outside of the cluster. */
  async outside(argv: readonly string[]): Promise<string> {
    return (await runCommand(['nsenter', `--net=/proc/${this.lab.pid}/ns/net`, '--', ...argv])).stdout.trim();
  }

  async down(): Promise<void> {
    for (const { cri } of this.containerds) cri.close();
    await this.lab.down();
    rmSync(this.#folder, { recursive: true, force: true });
    removeCgroups();
  }
}

function installPlugins({ bin, names }: Plugins, to: string, { instead }: Variant): void {
  mkdirSync(to);
  const ours = names.filter((name) => !existsSync(join(bin, name)));
  for (const name of names) {
    if (name === instead?.name) writeFileSync(join(to, name), instead.text, { mode: 0o755 });
    // Our executable contains all plugins and chooses one by the name it is called with.
    else if (ours.includes(name)) symlinkSync(join(bin, 'flannel'), join(to, name));
    else cpSync(join(bin, name), join(to, name), { dereference: true });
  }
}

async function startRuntime(node: LabNode, image: string): Promise<Containerd> {
  cpSync(image, node.pathFromOutside(IMAGE_FILE));
  const containerd = await Containerd.make(node);
  await containerd.importImage(IMAGE_FILE);
  return containerd;
}
