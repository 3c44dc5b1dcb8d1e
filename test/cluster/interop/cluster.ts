// A cluster of lab nodes on a real API server. Each node runs either flannel's agent and plugins or ours. A node changes from one
// to the other in the way a DaemonSet does it: the files are replaced first, then the agent.

import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CNI_BIN_FOLDER, CONFLIST_FOLDER, NET_CONF_FILE, SUBNET_FILE, UNDERLAY_DEVICE } from '../../lab/contract.ts';
import { type Lab, startLab } from '../../lab/lab.ts';
import type { LabNode } from '../../lab/lab-node.ts';
import { classicConflist } from '../../lab/node-spec.ts';
import { waitUntil } from '../../lab/processes.ts';
import { builtAgent, requireBuilt } from '../../lab/programs.ts';
import { HEALTH_FLAGS, LAUNCHER, writeLauncher } from '../../lab/support/launcher-script.ts';
import { type KubeApiserver, startKubeApiserver } from '../../support/kube-apiserver.ts';
import { startRelay } from '../../support/netns-relay.ts';
import { CHAIN, findChain, findFlanneld } from './programs.ts';

export type Program = 'flannel' | 'weft';

export interface ClusterSpec {
  /** Says which of the two each node runs, in order from node-1 on. */
  readonly nodes: readonly Program[];
  readonly isDual?: boolean;
  /** The value of `EnableNFTables`. When it is absent, flannel writes iptables rules and Weft nftables rules. */
  readonly nftables?: boolean;
  /** The fast path of the nodes with Weft; none when absent. */
  readonly fastPath?: 'redirect' | 'full';
}

const READY_TIMEOUT_MS = 60_000;
const MESH_TIMEOUT_MS = 20_000;
/** The path at which flannel's ConfigMap is mounted. */
const CNI_CONF_FILE = '/etc/kube-flannel/cni-conf.json';
const CONFLIST_FILE = `${CONFLIST_FOLDER}/10-flannel.conflist`;
const PREFIX = 'flannel.alpha.coreos.com/';

export class Cluster {
  readonly lab: Lab;
  readonly server: KubeApiserver;
  readonly #spec: ClusterSpec;
  readonly #cleanups: (() => unknown)[];

  private constructor(lab: Lab, server: KubeApiserver, spec: ClusterSpec, cleanups: (() => unknown)[]) {
    this.lab = lab;
    this.server = server;
    this.#spec = spec;
    this.#cleanups = cleanups;
  }

  /** Starts the cluster with a pod on every node. Every program that missingPrograms looks for must be there. */
  static async start(spec: ClusterSpec, env: Readonly<Record<string, string | undefined>>): Promise<Cluster> {
    const cleanups: (() => unknown)[] = [];
    try {
      const server = await startKubeApiserver();
      cleanups.push(() => server.stop());
      const plugins = copyChain(findChain(env) ?? '');
      cleanups.push(() => rmSync(plugins, { recursive: true, force: true }));
      const lab = await startLab({
        nodes: spec.nodes.length,
        netConf: netConfOf(spec),
        pluginFolder: plugins,
        agent: { start: false, file: LAUNCHER, readyTimeoutMs: READY_TIMEOUT_MS },
      });
      cleanups.push(() => lab.down());
      const cluster = new Cluster(lab, server, spec, cleanups);
      for (const node of lab.nodes) await cluster.#join(node);
      await Promise.all(lab.nodes.map((node, at) => cluster.#run(node, spec.nodes[at] ?? 'weft')));
      await cluster.untilMesh();
      for (const node of lab.nodes) await node.addPod();
      return cluster;
    } catch (error) {
      await undo(cleanups);
      throw error;
    }
  }

  async stop(): Promise<void> {
    await undo(this.#cleanups);
  }

  /** Replaces the node's plugins and agent as a rollout does: the new agent starts when the old one has ended. */
  async change(node: LabNode, to: Program): Promise<void> {
    const { exitCode } = await node.agent.stop();
    if (exitCode !== 0)
      throw new Error(`${node.name}: the agent ended with ${exitCode}: ${node.agent.log().slice(-500)}`);
    await this.#run(node, to);
  }

  /** Runs on the node what `manifests/cleanup.yml` runs there. */
  async cleanUp(node: LabNode): Promise<string> {
    const where = [
      `--subnet-file=${SUBNET_FILE}`,
      `--cni-conf-dir=${CONFLIST_FOLDER}`,
      `--cni-bin-dir=${CNI_BIN_FOLDER}`,
    ];
    return await node.run([requireBuilt(builtAgent), 'cleanup', ...where], { timeoutMs: 30_000 });
  }

  /** Resolves when every node has a route to the podCIDRs of every other node. */
  async untilMesh(): Promise<void> {
    for (const node of this.lab.nodes) {
      for (const peer of this.lab.nodes) {
        if (peer === node) continue;
        for (const cidr of this.podCidrs(peer)) {
          const show = ['ip', cidr.includes(':') ? '-6' : '-4', 'route', 'show', 'exact', cidr];
          const hasRoute = async (): Promise<boolean> => (await node.run(show)) !== '';
          await waitUntil(hasRoute, MESH_TIMEOUT_MS, `route to ${cidr} on ${node.name}`);
        }
      }
    }
  }

  podCidrs({ index }: LabNode): string[] {
    return [`10.244.${index}.0/24`, ...(this.#spec.isDual ? [`fd00:10:244:${index}::/64`] : [])];
  }

  /** Returns the node's annotations of flannel, without their prefix. */
  async annotations(node: LabNode): Promise<Readonly<Record<string, string>>> {
    const { body } = await this.server.must({ path: `/api/v1/nodes/${node.name}` });
    const { annotations = {} } = (body as { metadata: { annotations?: Record<string, string> } }).metadata;
    const own = Object.entries(annotations).filter(([key]) => key.startsWith(PREFIX));
    return Object.fromEntries(own.map(([key, value]) => [key.slice(PREFIX.length), value]));
  }

  /** Adds the node's Node object, a way to reach the API server, and an IPv6 underlay where one is wanted. */
  async #join(node: LabNode): Promise<void> {
    const podCIDRs = this.podCidrs(node);
    const spec = { podCIDR: podCIDRs[0], podCIDRs };
    // An annotation that kubelet sets. It is needed because flannel panics at a Node without any annotation.
    const annotations = { 'volumes.kubernetes.io/controller-managed-attach-detach': 'true' };
    await this.server.must({ path: '/api/v1/nodes', body: { metadata: { name: node.name, annotations }, spec } });
    this.#cleanups.push(await startRelay(node.pid, this.server.url));
    node.writeFile(CNI_CONF_FILE, JSON.stringify(classicConflist));
    if (this.#spec.fastPath !== undefined) await node.run(['mount', '-t', 'bpf', 'bpf', '/sys/fs/bpf']);
    if (!this.#spec.isDual) return;
    const commands = [
      `address add fd50::${10 + node.index}/64 dev ${UNDERLAY_DEVICE} nodad`,
      'route add default via fd50::1',
    ];
    await node.run(['ip', '-6', '-batch', '-'], { input: `${commands.join('\n')}\n` });
  }

  async #run(node: LabNode, program: Program): Promise<void> {
    const file = program === 'flannel' ? (findFlanneld() ?? '') : requireBuilt(builtAgent);
    // Does what flannel's init containers do, with `cp -f`. Our agent installs its files itself.
    if (program === 'flannel') {
      await node.run(['cp', '-f', `${CNI_BIN_FOLDER}/.flannel-image`, `${CNI_BIN_FOLDER}/flannel`]);
      await node.run(['cp', '-f', CNI_CONF_FILE, CONFLIST_FILE]);
    }
    writeLauncher(node, [file, ...this.#flags(program)]);
    await node.agent.start();
    await node.agent.ready();
  }

  #flags(program: Program): string[] {
    const common = [
      '--kube-subnet-mgr',
      `--kubeconfig-file=${this.server.agentKubeconfig}`,
      `--net-config-path=${NET_CONF_FILE}`,
      `--subnet-file=${SUBNET_FILE}`,
      `--iface=${UNDERLAY_DEVICE}`,
      '--ip-masq',
      ...HEALTH_FLAGS,
    ];
    if (program === 'flannel') return common;
    const cni = [`--cni-conf=${CNI_CONF_FILE}`, `--cni-conf-dir=${CONFLIST_FOLDER}`, `--cni-bin-dir=${CNI_BIN_FOLDER}`];
    const fastPath = this.#spec.fastPath === undefined ? [] : [`--fast-path=${this.#spec.fastPath}`];
    return [...common, ...cni, '--cni-bin-replace=flannel', ...fastPath];
  }
}

function netConfOf({ isDual = false, nftables }: ClusterSpec) {
  return {
    Network: '10.244.0.0/16',
    ...(isDual && { EnableIPv6: true, IPv6Network: 'fd00:10:244::/48' }),
    ...(nftables !== undefined && { EnableNFTables: nftables }),
    Backend: { Type: 'vxlan' },
  };
}

/**
 * Returns a folder that contains only the plugins of the chain. They may be installed among others. flannel's plugin lies there a
 * second time, under the name that it has in flannel's image.
 */
function copyChain(folder: string): string {
  const copy = mkdtempSync(join(tmpdir(), 'weft-interop-'));
  for (const name of CHAIN) cpSync(join(folder, name), join(copy, name), { dereference: true });
  cpSync(join(folder, 'flannel'), join(copy, '.flannel-image'), { dereference: true });
  return copy;
}

async function undo(cleanups: (() => unknown)[]): Promise<void> {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
}
