// A small real cluster: kube-apiserver and etcd, kube-controller-manager, kube-scheduler, and lab nodes that each have a containerd
// and a kubelet. Except for the images, all of these are published programs. Everything else runs in pods.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Lab, startLab } from '../../lab/lab.ts';
import type { LabNode } from '../../lab/lab-node.ts';
import { Background, findServer, freePorts, requireServer } from '../../support/background.ts';
import { API_SERVICE_IP } from '../../support/certificates.ts';
import { type KubeApiserver, startKubeApiserver } from '../../support/kube-apiserver.ts';
import { runKubeProxy } from '../../support/kube-proxy.ts';
import { startRelay, startRelayInto } from '../../support/netns-relay.ts';
import { removeCgroups } from '../containerd/cgroups.ts';
import { Containerd } from '../containerd/containerd.ts';
import type { CriClient } from '../containerd/cri.ts';
import { writeImage } from '../containerd/image.ts';
import { agentContainer, readObjects } from '../manifests/documents.ts';
import { writeAgentImage } from './images.ts';
import { KUBELET_LOG, startKubelet } from './kubelet-node.ts';
import { type Families, RANGES } from './ranges.ts';

const SERVERS = ['etcd', 'kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'kubelet'] as const;

/** Returns the names of the programs that are neither in KUBEBUILDER_ASSETS nor on PATH. */
export function missingServers(): string[] {
  return SERVERS.filter((name) => findServer(name) === undefined);
}

export interface ClusterOptions {
  readonly nodes: number;
  /** The CNI executables that the nodes have from the beginning; none when absent. */
  readonly pluginFolder?: string;
  /** Writes further images for the nodes into a folder, and returns the names of the files. */
  readonly putImages?: (folder: string) => string[];
  /**
   * Has the API server on the network of the first node and a kube-proxy on every node, so that it reaches pods, and Services work.
   * Otherwise it is outside, and a rule stands in for kube-proxy.
   */
  readonly hasServices?: boolean;
  /** The address families of pods, Services and nodes; IPv4 alone when absent. */
  readonly families?: Families;
}

interface Parts {
  readonly families: Families;
  readonly server: KubeApiserver;
  readonly lab: Lab;
  readonly controllers: readonly Background[];
  readonly containerds: ReadonlyMap<LabNode, Containerd>;
}

export class KubeCluster {
  readonly server: KubeApiserver;
  readonly lab: Lab;
  readonly #families: Families;
  readonly #controllers: readonly Background[];
  readonly #containerds: ReadonlyMap<LabNode, Containerd>;
  readonly #cleanups: (() => unknown)[];

  private constructor(parts: Parts, cleanups: (() => unknown)[]) {
    this.server = parts.server;
    this.lab = parts.lab;
    this.#families = parts.families;
    this.#controllers = parts.controllers;
    this.#containerds = parts.containerds;
    this.#cleanups = cleanups;
  }

  /** Starts everything except the kubelets. */
  static async start(options: ClusterOptions): Promise<KubeCluster> {
    const cleanups: (() => unknown)[] = [];
    try {
      const folder = mkdtempSync(join(tmpdir(), 'weft-kubelet-'));
      cleanups.push(() => rmSync(folder, { recursive: true, force: true }));
      cleanups.push(removeCgroups);
      const plugins = options.pluginFolder ?? mkdtempSync(join(folder, 'none-'));
      const lab = await startLab({ nodes: options.nodes, agent: false, conflist: false, pluginFolder: plugins });
      cleanups.push(() => lab.down());
      const { hasServices = false, families = 'ipv4' } = options;
      if (families === 'dual') await Promise.all(lab.nodes.map(addIpv6));
      const server = await startServer(lab, hasServices, families);
      cleanups.push(() => server.stop());
      const controllers = startControllers(server, mkdtempSync(join(folder, 'flex-')), families);
      for (const each of controllers) cleanups.push(() => each.stop());
      const images = [...writeImages(folder), ...(options.putImages?.(folder) ?? [])];
      const containerds = new Map<LabNode, Containerd>();
      for (const node of lab.nodes) {
        if (!hasServices || node !== lab.nodes[0]) cleanups.push(await startRelay(node.pid, server.url));
        await (hasServices
          ? runKubeProxy(node, server.adminKubeconfig, 'iptables', RANGES[families].pods)
          : makeApiService(node, server.url));
        const containerd = await startContainerd(node, images);
        cleanups.push(() => containerd.cri.close());
        containerds.set(node, containerd);
      }
      return new KubeCluster({ families, server, lab, controllers, containerds }, cleanups);
    } catch (error) {
      await undo(cleanups);
      throw error;
    }
  }

  async stop(): Promise<void> {
    await undo(this.#cleanups);
  }

  /** Registers the node and runs the pods that the scheduler assigns to it. */
  async startKubelet(node: LabNode): Promise<void> {
    // The API server asks kubelets for logs and to execute programs; a relay on its side has the kubelet's port.
    const [port = 0] = await freePorts(1);
    const addresses = this.#families === 'dual' ? [node.address, ipv6Of(node)] : [node.address];
    await startKubelet(node, {
      program: requireServer('kubelet'),
      kubeconfig: this.server.adminKubeconfig,
      port,
      addresses,
    });
    this.#cleanups.push(await startRelayInto(node.pid, port));
  }

  /** Runs a command in a container as `kubectl exec` does. Resolves with what the command wrote. */
  async exec(node: LabNode, containerId: string, cmd: readonly string[]): Promise<string> {
    const request = { containerId, cmd, timeout: 10 };
    const { exitCode, stdout, stderr } = await this.#cri(node).call('ExecSync', request);
    if (exitCode !== 0) throw new Error(`${node.name}: ${cmd.join(' ')}: exit ${exitCode} (${stderr.toString()})`);
    return stdout.toString().trim();
  }

  /** The path, seen from outside, of a container's network namespace. */
  async netnsOf(node: LabNode, containerId: string): Promise<string> {
    const { info } = await this.#cri(node).call('ContainerStatus', { containerId, verbose: true });
    const { pid } = JSON.parse(info['info'] ?? '{}') as { pid?: number };
    return node.pathFromOutside(`/proc/${pid}/ns/net`);
  }

  /** The last lines of each log. */
  async report(): Promise<string> {
    const script = `tail -n 15 ${KUBELET_LOG} /var/log/pods/weft_*/*/*.log /var/log/pods/kube-flannel_*/*/*.log`;
    const ends = this.lab.nodes.map(async (node) => {
      const { stdout } = await node.exec(['sh', '-c', script]);
      return `${node.name}:\n${stdout}`;
    });
    const { body } = await this.server.call({ path: '/api/v1/events' });
    const events = (body['items'] as { message: string; reason: string }[]).slice(-30);
    return [
      ...events.map(({ reason, message }) => `${reason}: ${message}`),
      ...(await Promise.all(ends)),
      ...this.#controllers.map(({ output }) => output.slice(-1000)),
    ].join('\n');
  }

  #cri(node: LabNode): CriClient {
    const containerd = this.#containerds.get(node);
    if (containerd === undefined) throw new Error(`no containerd on ${node.name}`);
    return containerd.cri;
  }
}

async function startServer({ nodes }: Lab, isOnNode: boolean, families: Families): Promise<KubeApiserver> {
  const [node] = nodes;
  const place = isOnNode && node ? { node } : { nodesOnLoopback: nodes.map(({ name }) => name) };
  return await startKubeApiserver({ ...place, serviceRange: RANGES[families].services });
}

function ipv6Of(node: LabNode): string {
  return `fd00:50::${node.address.split('.')[3]}`;
}

/** Agents take the underlay of a family from the interface of its default route. */
async function addIpv6(node: LabNode): Promise<void> {
  await node.run(['ip', '-6', 'address', 'add', `${ipv6Of(node)}/64`, 'dev', 'eth0', 'nodad']);
  await node.run(['ip', '-6', 'route', 'add', 'default', 'via', 'fd00:50::1', 'dev', 'eth0']);
}

function startControllers(server: KubeApiserver, flexFolder: string, families: Families): Background[] {
  const common = [`--kubeconfig=${server.adminKubeconfig}`, '--leader-elect=false', '--secure-port=0'];
  const manager = [
    ...common,
    '--allocate-node-cidrs=true',
    `--cluster-cidr=${RANGES[families].pods}`,
    `--service-cluster-ip-range=${RANGES[families].services}`,
    // kube-controller-manager puts this certificate into every namespace, so that pods can verify the API server.
    `--root-ca-file=${server.authorityFile}`,
    // The default is a folder of the real machine, which kube-controller-manager would create.
    `--flex-volume-plugin-dir=${flexFolder}`,
  ];
  return [
    new Background([requireServer('kube-controller-manager'), ...manager]),
    new Background([requireServer('kube-scheduler'), ...common]),
  ];
}

/** The image of the test's pods and the image of the agent. The latter has the name that the manifest uses. */
function writeImages(folder: string): string[] {
  const [pods, agent] = [join(folder, 'pods.tar'), join(folder, 'agent.tar')];
  writeImage(pods);
  writeAgentImage(agent, agentContainer(readObjects('weft.yml')).image);
  return [pods, agent];
}

/** Redirects the address of the API server's Service to the node's relay, in place of a kube-proxy. */
async function makeApiService(node: LabNode, { hostname, port }: URL): Promise<void> {
  const rule = `ip daddr ${API_SERVICE_IP} tcp dport 443 dnat to ${hostname}:${port}`;
  const input = `table ip api-service { chain output { type nat hook output priority -100; ${rule}; }; }\n`;
  await node.run(['nft', '-f', '-'], { input });
}

async function startContainerd(node: LabNode, images: readonly string[]): Promise<Containerd> {
  const containerd = await Containerd.make(node);
  // A file in /tmp is visible in the node as well.
  for (const image of images) await containerd.importImage(image);
  return containerd;
}

async function undo(cleanups: (() => unknown)[]): Promise<void> {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
}
