// Services as in a cluster: a real API server, kube-proxy on every node, CoreDNS in a pod, and a web server in a pod on each node. The
// lab provides nodes, agents and pods. The test creates the objects that a controller would create.

import type { JsonObject } from '../../lab/cni/conflist.ts';
import { type Lab, startLab } from '../../lab/lab.ts';
import type { LabNode } from '../../lab/lab-node.ts';
import type { LabPod } from '../../lab/lab-pod.ts';
import { pidFromInside } from '../../lab/processes.ts';
import { findServer, requireServer } from '../../support/background.ts';
import type { KubeApiserver } from '../../support/kube-apiserver.ts';
import { inBackground, POD_NETWORK, PROXY_LOG, type ProxyMode, runKubeProxy } from '../../support/kube-proxy.ts';
import { startRelay } from '../../support/netns-relay.ts';

export const DNS_ADDRESS = '10.96.0.10';
export const WEB_ADDRESS = '10.96.0.20';
export const WEB_NODE_PORT = 30_080;
const DNS_LOG = '/run/coredns.log';

/** Says which programs are missing; undefined when all are there. */
export function missingPrograms(): string | undefined {
  const missing = ['etcd', 'kube-apiserver', 'kube-proxy', 'coredns'].filter((name) => findServer(name) === undefined);
  return missing.length === 0 ? undefined : `${missing.join(', ')} (in KUBEBUILDER_ASSETS, then on PATH)`;
}

export class ServiceScene {
  readonly lab: Lab;
  /** A pod on each node that makes requests. */
  readonly clients: readonly LabPod[];
  /** A pod on each node that serves its own name at port 80. */
  readonly webPods: readonly LabPod[];
  readonly #stopRelays: (() => Promise<void>)[] = [];

  private constructor(lab: Lab, clients: readonly LabPod[], webPods: readonly LabPod[]) {
    this.lab = lab;
    this.clients = clients;
    this.webPods = webPods;
  }

  /** Starts everything. The agents write their rules with the same program (nft or iptables) as kube-proxy. */
  static async start(
    server: KubeApiserver,
    mode: ProxyMode,
    agent: { readonly args?: readonly string[] } = {},
  ): Promise<ServiceScene> {
    const netConf = { Network: POD_NETWORK, EnableNFTables: mode === 'nftables', Backend: { Type: 'vxlan' } };
    const lab = await startLab({ nodes: 2, netConf, agent });
    try {
      const pods = (name: string): Promise<LabPod[]> =>
        Promise.all(lab.nodes.map((node) => node.addPod({ name: `${name}-${node.index}` })));
      const scene = new ServiceScene(lab, await pods('client'), await pods('web'));
      for (const pod of scene.webPods) await serve(pod);
      const [first] = lab.nodes;
      if (first === undefined) throw new Error('no node');
      const { pod: dns, stop } = await startDns(server, first);
      scene.#stopRelays.push(stop);
      await writeObjects(server, lab.nodes, scene.webPods, dns);
      for (const node of lab.nodes) scene.#stopRelays.push(await startKubeProxy(server, node, mode));
      return scene;
    } catch (error) {
      await lab.down();
      throw error;
    }
  }

  async stop(): Promise<void> {
    for (const stop of this.#stopRelays) await stop();
    await this.lab.down();
  }

  /** The last lines of the logs. */
  report(): string {
    const [first] = this.lab.nodes;
    const logs = [...this.lab.nodes.map((node) => node.readFile(PROXY_LOG)), first?.readFile(DNS_LOG) ?? ''];
    return logs.map((log) => log.slice(-1500)).join('\n');
  }
}

/** CoreDNS in a pod of the node, with a way to the API server; `stop` takes this way back. */
export async function startDns(
  { url, adminKubeconfig }: KubeApiserver,
  node: LabNode,
): Promise<{ readonly pod: LabPod; readonly stop: () => Promise<void> }> {
  const pod = await node.addPod({ name: 'dns' });
  node.writeFile('/run/Corefile', `.:53 {\n  kubernetes cluster.local {\n    kubeconfig ${adminKubeconfig}\n  }\n}\n`);
  const argv = inBackground([requireServer('coredns'), '-conf', '/run/Corefile'], DNS_LOG);
  const pid = pidFromInside(node.pid, Number((await pod.exec(argv)).stdout));
  if (pid === undefined) throw new Error(`coredns ended: ${node.readFile(DNS_LOG)}`);
  return { pod, stop: await startRelay(pid, url) };
}

/** The Service kube-dns in front of the pod. */
export async function writeDnsService(server: KubeApiserver, dns: LabPod): Promise<void> {
  const spec = { clusterIP: DNS_ADDRESS, ports: [{ port: 53, protocol: 'UDP' }] };
  await writeService(server, 'kube-system', 'kube-dns', spec, [dns]);
}

/** Writes an object again. */
async function create({ call, must }: KubeApiserver, path: string, body: JsonObject): Promise<void> {
  const name = (body['metadata'] as { name: string }).name;
  await call({ method: 'DELETE', path: `${path}/${name}` });
  await must({ path, body });
}

/** A Service, and the EndpointSlice that a controller would make for it; its pods answer at the Service's port or at `podPort`. */
export async function writeService(
  server: KubeApiserver,
  namespace: string,
  name: string,
  spec: JsonObject,
  pods: readonly LabPod[],
  podPort?: number,
): Promise<void> {
  await create(server, `/api/v1/namespaces/${namespace}/services`, { metadata: { name }, spec });
  const [{ nodePort: _, targetPort: __, ...port } = {}] = spec['ports'] as JsonObject[];
  await create(server, `/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices`, {
    metadata: { name, labels: { 'kubernetes.io/service-name': name } },
    addressType: 'IPv4',
    ports: [{ ...port, ...(podPort !== undefined && { port: podPort }) }],
    endpoints: pods.map(({ ip, node }) => ({ addresses: [ip], nodeName: node.name, conditions: { ready: true } })),
  });
}

/** Runs on a node, with a way to the API server; resolves with a function that removes this way. */
export async function startKubeProxy(
  { url, adminKubeconfig }: KubeApiserver,
  node: LabNode,
  mode: ProxyMode,
): Promise<() => Promise<void>> {
  const stopRelay = await startRelay(node.pid, url);
  await runKubeProxy(node, adminKubeconfig, mode);
  return stopRelay;
}

async function serve(pod: LabPod): Promise<void> {
  const script = `require('node:http').createServer((_, answer) => answer.end('${pod.name}')).listen(80)`;
  await pod.exec(inBackground([process.execPath, '-e', script], '/dev/null'));
}

async function writeObjects(
  server: KubeApiserver,
  nodes: readonly LabNode[],
  webPods: readonly LabPod[],
  dns: LabPod,
): Promise<void> {
  for (const { name, address } of nodes) {
    await create(server, '/api/v1/nodes', { metadata: { name } });
    const status = { addresses: [{ type: 'InternalIP', address }] };
    const contentType = 'application/merge-patch+json';
    await server.must({ method: 'PATCH', path: `/api/v1/nodes/${name}/status`, body: { status }, contentType });
  }
  const web = {
    type: 'NodePort',
    clusterIP: WEB_ADDRESS,
    ports: [{ port: 80, protocol: 'TCP', nodePort: WEB_NODE_PORT }],
  };
  await writeService(server, 'default', 'web', web, webPods);
  await writeDnsService(server, dns);
}
