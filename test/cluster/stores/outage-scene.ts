// Two lab nodes use a store that the tests make unreachable. Each reaches it through proxies of its own, and a flow runs between
// their pods. A third node exists only in the store. When its address changes there and the agents follow, they see the store.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ownAnnotations } from '../../../flanneld/subnet/kube/annotations.ts';
import { NET_CONF_FILE, SUBNET_FILE, UNDERLAY_DEVICE } from '../../lab/contract.ts';
import { type Lab, startLab } from '../../lab/lab.ts';
import type { LabNode } from '../../lab/lab-node.ts';
import { waitForMesh } from '../../lab/mesh.ts';
import { builtAgent, requireBuilt } from '../../lab/programs.ts';
import { HEALTH_FLAGS, LAUNCHER, writeLauncher } from '../../lab/support/launcher-script.ts';
import { type EtcdCluster, startEtcd } from '../../support/etcd.ts';
import { type KubeApiserver, startKubeApiserver } from '../../support/kube-apiserver.ts';
import { startRelay } from '../../support/netns-relay.ts';
import { startProxy, type TcpProxy } from '../../support/proxy.ts';
import { nodeAttributes } from '../../support/store-contract.ts';
import { type EtcdSite, makeEtcdSite } from './etcd-site.ts';

const netConf = { Network: '10.244.0.0/16', Backend: { Type: 'vxlan' } };
const GHOST = '10.244.200.0/24';

/** A server with the cluster's state. */
export interface OutageStore {
  readonly endpoints: readonly URL[];
  /** Creates what a node needs in the store, and returns the agent's flags for reaching it at these URLs. */
  join(node: LabNode, urls: readonly URL[], dir: string): Promise<string[]>;
  /** Moves the third node to 192.168.0.`host`. */
  moveGhost(host: number): Promise<void>;
  stop(): Promise<void>;
}

export interface KubeOutageStore extends OutageStore {
  readonly server: KubeApiserver;
}

export async function kubeStore(): Promise<KubeOutageStore> {
  const server = await startKubeApiserver();
  const create = async (name: string, podCIDR: string): Promise<void> => {
    await server.must({ path: '/api/v1/nodes', body: { metadata: { name }, spec: { podCIDR, podCIDRs: [podCIDR] } } });
  };
  await create('ghost', GHOST);
  return {
    server,
    endpoints: [server.url],
    async join(node, [url], dir) {
      await create(node.name, `10.244.${node.index}.0/24`);
      const kubeconfig = join(dir, `kubeconfig-${node.name}`);
      writeFileSync(kubeconfig, server.agentKubeconfigText.replaceAll(server.url.origin, url?.origin ?? ''));
      return ['--kube-subnet-mgr', `--kubeconfig-file=${kubeconfig}`];
    },
    async moveGhost(host) {
      const own = [...ownAnnotations(nodeAttributes(host))];
      const annotations = Object.fromEntries(own.map(([key, value]) => [`flannel.alpha.coreos.com/${key}`, value]));
      const contentType = 'application/merge-patch+json';
      await server.must({
        method: 'PATCH',
        path: '/api/v1/nodes/ghost',
        body: { metadata: { annotations } },
        contentType,
      });
    },
    stop: () => server.stop(),
  };
}

export interface EtcdOutageStore extends OutageStore {
  readonly cluster: EtcdCluster;
  readonly site: EtcdSite;
}

export async function etcdStore(): Promise<EtcdOutageStore> {
  const cluster = await startEtcd({ members: 3 });
  const site = await makeEtcdSite(cluster, netConf);
  return {
    cluster,
    site,
    endpoints: cluster.endpoints,
    join: (_, urls) =>
      Promise.resolve([
        `--etcd-endpoints=${urls.map(({ origin }) => origin).join(',')}`,
        `--etcd-prefix=${site.prefix}`,
      ]),
    moveGhost: (host) => site.putPeer('ghost', GHOST, nodeAttributes(host)),
    stop: () => cluster.stop(),
  };
}

export class OutageScene {
  readonly lab: Lab;
  readonly #proxies: ReadonlyMap<string, readonly TcpProxy[]>;
  readonly #cleanups: (() => unknown)[];
  #host = 10;

  private constructor(lab: Lab, proxies: ReadonlyMap<string, readonly TcpProxy[]>, cleanups: (() => unknown)[]) {
    this.lab = lab;
    this.#proxies = proxies;
    this.#cleanups = cleanups;
  }

  /** `dir` is for files that the nodes read. The store stops when the scene ends. */
  static async start(store: OutageStore, dir: string): Promise<OutageScene> {
    const cleanups: (() => unknown)[] = [() => store.stop()];
    try {
      const lab = await startLab({
        nodes: 2,
        netConf,
        agent: { start: false, file: LAUNCHER, readyTimeoutMs: 60_000 },
      });
      cleanups.push(() => lab.down());
      const proxies = new Map<string, TcpProxy[]>();
      for (const node of lab.nodes) {
        const own = await Promise.all(store.endpoints.map((url) => startProxy(url)));
        proxies.set(node.name, own);
        for (const proxy of own) {
          cleanups.push(() => proxy.close());
          cleanups.push(await startRelay(node.pid, proxy.url));
        }
        const flags = await store.join(
          node,
          own.map(({ url }) => url),
          dir,
        );
        const files = [`--net-config-path=${NET_CONF_FILE}`, `--subnet-file=${SUBNET_FILE}`];
        const rest = [...files, `--iface=${UNDERLAY_DEVICE}`, '--ip-masq', ...HEALTH_FLAGS];
        writeLauncher(node, [requireBuilt(builtAgent), ...flags, ...rest]);
        await node.agent.start();
      }
      for (const node of lab.nodes) await node.agent.ready();
      await waitForMesh(lab.nodes);
      for (const node of lab.nodes) await node.addPod();
      return new OutageScene(lab, proxies, cleanups);
    } catch (error) {
      await undo(cleanups);
      throw error;
    }
  }

  async stop(): Promise<void> {
    await undo(this.#cleanups);
  }

  /** The proxies between the store and this node, or all nodes. */
  proxies(nodeName?: string): readonly TcpProxy[] {
    return nodeName === undefined ? [...this.#proxies.values()].flat() : (this.#proxies.get(nodeName) ?? []);
  }

  /** A host number that the third node has not had yet. */
  nextHost(): number {
    this.#host += 1;
    return this.#host;
  }

  /** Whether every node sends packets for the third node to 192.168.0.`host` and nowhere else. */
  async isFollowed(host: number): Promise<boolean> {
    const listings = await Promise.all(
      this.lab.nodes.map((node) => node.run(['bridge', 'fdb', 'show', 'dev', 'flannel.1'])),
    );
    return listings.every(
      (text) => [...text.matchAll(/dst (192\.168\.0\.\d+)/g)].map(([, ip]) => ip).join() === `192.168.0.${host}`,
    );
  }

  /** The pids of the agents. A restart would change them. */
  async agents(): Promise<(number | undefined)[]> {
    const states = await Promise.all(this.lab.nodes.map((node) => node.agent.state()));
    return states.map(({ running, pid }) => (running ? pid : undefined));
  }
}

async function undo(cleanups: (() => unknown)[]): Promise<void> {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
}
