// A cluster for tests of the image. It has a real API server to which weft.yml is applied, and lab nodes with a containerd that has the
// image. The nodes run the DaemonSet's pod in the form in which the API server admitted it.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FlowEnd } from '../../faults/probe/spec.ts';
import { type Lab, startLab } from '../../lab/lab.ts';
import type { LabNode } from '../../lab/lab-node.ts';
import { type KubeApiserver, startKubeApiserver } from '../../support/kube-apiserver.ts';
import { applyCall } from '../../support/kube-objects.ts';
import { startRelay } from '../../support/netns-relay.ts';
import { removeCgroups } from '../containerd/cgroups.ts';
import { Containerd } from '../containerd/containerd.ts';
import { writeImage } from '../containerd/image.ts';
import { CriPod } from '../containerd/pod.ts';
import { agentPod, objects } from './manifest.ts';
import type { ClusterFiles } from './node-pod.ts';

/** The folder with `image.tar` and `other.tar`, which scripts/suites/image.mjs makes. */
export function imageFolder(): string {
  const folder = process.env['WEFT_IMAGES'];
  if (folder === undefined)
    throw new Error('WEFT_IMAGES is not set: npm run suite -- image builds the image and sets it');
  return folder;
}

export class Site {
  readonly cluster: ClusterFiles;
  readonly #server: KubeApiserver;
  readonly #lab: Lab;
  readonly #folder: string;
  readonly #cleanups: (() => unknown)[];
  readonly #containerds = new Map<LabNode, Containerd>();
  readonly #relays = new Map<LabNode, () => Promise<void>>();

  private constructor(
    server: KubeApiserver,
    lab: Lab,
    folder: string,
    cluster: ClusterFiles,
    cleanups: (() => unknown)[],
  ) {
    this.#cleanups = cleanups;
    this.#server = server;
    this.#lab = lab;
    this.#folder = folder;
    this.cluster = cluster;
  }

  /** Makes the site. When it rejects, it has removed everything that it made. */
  static async start(nodes: number): Promise<Site> {
    imageFolder();
    const cleanups: (() => unknown)[] = [removeCgroups];
    try {
      const folder = mkdtempSync(join(tmpdir(), `weft-image-${process.pid}-`));
      cleanups.push(() => rmSync(folder, { recursive: true }));
      writeImage(join(folder, 'busybox.tar'));
      const server = await startKubeApiserver();
      cleanups.push(() => server.stop());
      // The nodes start without any file of CNI, so whatever is found there later was installed by the agent.
      const pluginFolder = mkdtempSync(join(folder, 'none-'));
      const lab = await startLab({ nodes: 0, agent: false, conflist: false, pluginFolder });
      cleanups.push(() => lab.down());
      for (const object of objects) await server.must(applyCall(object, false));
      const site = new Site(server, lab, folder, await clusterFiles(server), cleanups);
      cleanups.push(() => site.#leaveAll());
      await site.addNodes(nodes);
      return site;
    } catch (error) {
      await undo(cleanups);
      throw error;
    }
  }

  node(index: number): LabNode {
    return this.#lab.node(`node-${index}`);
  }

  containerd(node: LabNode): Containerd {
    const found = this.#containerds.get(node);
    if (found === undefined) throw new Error(`no containerd on ${node.name}`);
    return found;
  }

  /**
   * Adds nodes in the state in which a cloud delivers them: registered, with a podCIDR, and with a containerd that has the image.
   */
  async addNodes(count: number): Promise<LabNode[]> {
    const nodes = await this.#lab.addNodes(count);
    await Promise.all(nodes.map((node) => this.#prepare(node)));
    return nodes;
  }

  async #prepare(node: LabNode): Promise<void> {
    const podCIDR = `10.244.${node.index}.0/24`;
    const body = { metadata: { name: node.name }, spec: { podCIDR, podCIDRs: [podCIDR] } };
    await this.#server.must({ path: '/api/v1/nodes', body });
    // The lab gives each node its own boot id by a mount that containers do not see. These nodes are never rebooted, so the mount
    // is removed.
    await node.run(['umount', '/proc/sys/kernel/random/boot_id']);
    this.#relays.set(node, await startRelay(node.pid, this.#server.url));
    const containerd = await Containerd.make(node);
    this.#containerds.set(node, containerd);
    for (const file of [join(this.#folder, 'busybox.tar'), join(imageFolder(), 'image.tar')])
      await containerd.importImage(file);
  }

  async removeNode(node: LabNode): Promise<void> {
    await this.#leave(node);
    await this.#lab.removeNode(node.name);
    await this.#server.must({ method: 'DELETE', path: `/api/v1/nodes/${node.name}` });
  }

  /** Makes a pod in the pod network that serves its own name over HTTP. */
  async addPod(node: LabNode, name: string): Promise<CriPod> {
    return await CriPod.run(this.containerd(node), name);
  }

  async down(): Promise<void> {
    await undo(this.#cleanups);
  }

  async #leaveAll(): Promise<void> {
    for (const node of this.#lab.nodes) await this.#leave(node);
  }

  /** A relay process would keep the node's network namespace alive, so it is stopped first. */
  async #leave(node: LabNode): Promise<void> {
    this.#containerds.get(node)?.cri.close();
    await this.#relays.get(node)?.();
    this.#relays.delete(node);
  }
}

/** The path, inside the node, of a pod's network namespace. */
async function netnsOf(pod: CriPod): Promise<string> {
  const info = JSON.parse((await pod.status()).info['info'] ?? '{}') as {
    runtimeSpec: { linux: { namespaces: readonly { type: string; path?: string }[] } };
  };
  const netns = info.runtimeSpec.linux.namespaces.find(({ type }) => type === 'network')?.path;
  if (netns === undefined) throw new Error(`no network namespace of ${pod.name}`);
  // /var/run is a link. Followed from outside, it would lead to a folder of the real machine.
  return netns.replace(/^\/var\/run\//, '/run/');
}

/** Returns the end of a flow of packets to or from `pod`. */
export async function flowEnd(node: LabNode, pod: CriPod): Promise<FlowEnd> {
  return { netnsFromOutside: node.pathFromOutside(await netnsOf(pod)), ip: pod.ip };
}

async function undo(cleanups: (() => unknown)[]): Promise<void> {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
}

/** Returns the objects that kubelet would fetch for the agent's pods. */
async function clusterFiles(server: KubeApiserver): Promise<ClusterFiles> {
  const namespace = 'weft';
  const { body } = await server.must({
    path: `/api/v1/namespaces/${namespace}/serviceaccounts/${agentPod.serviceAccountName}/token`,
    body: { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: { expirationSeconds: 3600 } },
  });
  const { token } = body['status'] as { token: string };
  return {
    configMaps: objects.filter(({ kind }) => kind === 'ConfigMap'),
    env: { KUBERNETES_SERVICE_HOST: server.url.hostname, KUBERNETES_SERVICE_PORT: server.url.port },
    account: { token, namespace, 'ca.crt': readFileSync(server.authorityFile, 'utf8') },
  };
}
