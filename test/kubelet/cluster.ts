// A small real cluster: kube-apiserver and etcd, kube-controller-manager, kube-scheduler, and lab nodes with a containerd,
// a kubelet and Weft's agent each. Everything but the pods' image is a published program.

import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { removeCgroups } from '../containerd/cgroups.ts';
import { Containerd } from '../containerd/containerd.ts';
import { writeImage } from '../containerd/image.ts';
import { CNI_BIN_FOLDER, NET_CONF_FILE, SUBNET_FILE } from '../lab/contract.ts';
import { type Lab, startLab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import { classicConflist } from '../lab/node-spec.ts';
import { builtAgent } from '../lab/programs.ts';
import { Background, findServer } from '../support/background.ts';
import { type KubeApiserver, startKubeApiserver } from '../support/kube-apiserver.ts';
import { startRelay } from '../support/netns-relay.ts';
import { background, KUBELET_LOG, startKubelet } from './kubelet-node.ts';

const SERVERS = ['etcd', 'kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'kubelet'] as const;
const IMAGE_FILE = '/run/image.tar';
const AGENT_LOG = '/run/agent.log';
const CNI_CONF_FILE = '/etc/kube-flannel/cni-conf.json';

/** Names of the programs that are neither in KUBEBUILDER_ASSETS nor on PATH. */
export function missingServers(): string[] {
  return SERVERS.filter((name) => findServer(name) === undefined);
}

function program(name: (typeof SERVERS)[number]): string {
  const found = findServer(name);
  if (found === undefined) throw new Error(`needs ${name} in KUBEBUILDER_ASSETS or on PATH`);
  return found;
}

interface Parts {
  readonly server: KubeApiserver;
  readonly lab: Lab;
  readonly controllers: readonly Background[];
  readonly containerds: ReadonlyMap<LabNode, Containerd>;
}

export class KubeCluster {
  readonly server: KubeApiserver;
  readonly lab: Lab;
  readonly #controllers: readonly Background[];
  readonly #containerds: ReadonlyMap<LabNode, Containerd>;
  readonly #cleanups: (() => unknown)[];
  readonly #agents = new Map<LabNode, string>();

  private constructor(parts: Parts, cleanups: (() => unknown)[]) {
    this.server = parts.server;
    this.lab = parts.lab;
    this.#controllers = parts.controllers;
    this.#containerds = parts.containerds;
    this.#cleanups = cleanups;
  }

  /** Starts everything but the agents and kubelets. */
  static async start(nodes: number): Promise<KubeCluster> {
    const cleanups: (() => unknown)[] = [];
    try {
      const folder = mkdtempSync(join(tmpdir(), 'weft-kubelet-'));
      cleanups.push(() => rmSync(folder, { recursive: true, force: true }));
      const server = await startKubeApiserver();
      cleanups.push(() => server.stop());
      const controllers = startControllers(server, folder);
      for (const each of controllers) cleanups.push(() => each.stop());
      cleanups.push(removeCgroups);
      const lab = await startLab({ nodes, agent: false, conflist: false });
      cleanups.push(() => lab.down());
      const image = join(folder, 'image.tar');
      writeImage(image);
      const containerds = new Map<LabNode, Containerd>();
      for (const node of lab.nodes) {
        cleanups.push(await startRelay(node.pid, server.url));
        const containerd = await startContainerd(node, image);
        cleanups.push(() => containerd.cri.close());
        containerds.set(node, containerd);
      }
      return new KubeCluster({ server, lab, controllers, containerds }, cleanups);
    } catch (error) {
      await undo(cleanups);
      throw error;
    }
  }

  async stop(): Promise<void> {
    await undo(this.#cleanups);
  }

  /** Registers its node, and runs what the scheduler gives it. */
  async startKubelet(node: LabNode): Promise<void> {
    await startKubelet(node, program('kubelet'), this.server.adminKubeconfig);
  }

  /** Weft's agent as its manifest runs it, but as a program of the node. */
  async startAgent(node: LabNode): Promise<void> {
    node.writeFile(CNI_CONF_FILE, JSON.stringify(classicConflist));
    const flags = [
      '--kube-subnet-mgr',
      `--kubeconfig-file=${this.server.agentKubeconfig}`,
      `--node-name=${node.name}`,
      `--net-config-path=${NET_CONF_FILE}`,
      `--subnet-file=${SUBNET_FILE}`,
      '--iface=eth0',
      '--ip-masq',
      `--cni-conf=${CNI_CONF_FILE}`,
      `--cni-bin-dir=${CNI_BIN_FOLDER}`,
    ];
    this.#agents.set(node, await background(node, [builtAgent, ...flags], AGENT_LOG));
  }

  async killAgent(node: LabNode): Promise<void> {
    await node.run(['kill', '-9', this.#agents.get(node) ?? '']);
  }

  /** Runs a command in a container, as `kubectl exec` does; resolves with what it wrote. */
  async exec(node: LabNode, containerId: string, cmd: readonly string[]): Promise<string> {
    const { cri } = this.#containerds.get(node) ?? {};
    if (cri === undefined) throw new Error(`no containerd on ${node.name}`);
    const { exitCode, stdout, stderr } = await cri.call('ExecSync', { containerId, cmd, timeout: 10 });
    if (exitCode !== 0) throw new Error(`${node.name}: ${cmd.join(' ')}: exit ${exitCode} (${stderr.toString()})`);
    return stdout.toString().trim();
  }

  /** The ends of the logs. */
  report(): string {
    const ends = this.lab.nodes.flatMap((node) =>
      [KUBELET_LOG, AGENT_LOG].map((log) => `${node.name} ${log}:\n${readIfThere(node, log).slice(-2000)}`),
    );
    return [...ends, ...this.#controllers.map(({ output }) => output.slice(-1000))].join('\n');
  }
}

function readIfThere(node: LabNode, path: string): string {
  try {
    return node.readFile(path);
  } catch {
    return '';
  }
}

function startControllers(server: KubeApiserver, folder: string): Background[] {
  const common = [`--kubeconfig=${server.adminKubeconfig}`, '--leader-elect=false', '--secure-port=0'];
  const manager = [
    ...common,
    '--allocate-node-cidrs=true',
    '--cluster-cidr=10.244.0.0/16',
    '--service-cluster-ip-range=10.96.0.0/24',
    // Its default is a folder of the machine's, which it makes.
    `--flex-volume-plugin-dir=${folder}`,
  ];
  return [
    new Background([program('kube-controller-manager'), ...manager]),
    new Background([program('kube-scheduler'), ...common]),
  ];
}

async function startContainerd(node: LabNode, image: string): Promise<Containerd> {
  cpSync(image, node.pathFromOutside(IMAGE_FILE));
  const containerd = await Containerd.make(node);
  await containerd.importImage(IMAGE_FILE);
  return containerd;
}

async function undo(cleanups: (() => unknown)[]): Promise<void> {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
}
