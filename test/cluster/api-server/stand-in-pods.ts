// The part of a kubelet that runs pods, for lab nodes without one: it attaches each pod of some namespaces that is bound to a node of
// the lab by the node's conflist, starts its command in the pod's network, tells the API server, and removes it when it is deleted.

import type { CommandResult } from '../../lab/command.ts';
import type { Lab } from '../../lab/lab.ts';
import type { LabPod } from '../../lab/lab-pod.ts';
import type { KubeApiserver } from '../../support/kube-apiserver.ts';

const POLL_MS = 250;
const RESOLV = '/run/stand-in-resolv.conf';
const MERGE = 'application/merge-patch+json';

interface PodObject {
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly uid: string;
    readonly deletionTimestamp?: string;
  };
  readonly spec: {
    readonly nodeName?: string;
    readonly containers: readonly { readonly command?: readonly string[] }[];
  };
}

interface Running {
  readonly pod: LabPod;
  readonly pid: string;
}

/** The form in which the kubelet writes it for a pod (pkg/kubelet/network/dns). */
function resolvConf(nameserver: string, namespace: string): string {
  const search = `${namespace}.svc.cluster.local svc.cluster.local cluster.local`;
  return `search ${search}\nnameserver ${nameserver}\noptions ndots:5\n`;
}

export class StandInPods {
  readonly #server: KubeApiserver;
  readonly #lab: Lab;
  readonly #namespaces: RegExp;
  readonly #running = new Map<string, Running>();
  readonly #names = new Map<string, string>();
  readonly #loop: Promise<void>;
  #stopped = false;
  /** The DNS server of all pods that start from now on; the machine's own when absent. */
  nameserver: string | undefined;

  /** `namespaces`: the namespaces whose pods it runs. */
  constructor(server: KubeApiserver, lab: Lab, namespaces: RegExp) {
    this.#server = server;
    this.#lab = lab;
    this.#namespaces = namespaces;
    this.#loop = this.#run();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#loop;
  }

  /** How many pods it runs now. */
  get count(): number {
    return this.#running.size;
  }

  /** Undefined when it does not run that pod. */
  async exec(namespace: string, name: string, argv: readonly string[]): Promise<CommandResult | undefined> {
    const running = this.#running.get(this.#names.get(`${namespace}/${name}`) ?? '');
    return await running?.pod.exec(this.#inContainer(argv), { timeoutMs: 120_000 });
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      const { body } = await this.#server.call({ path: '/api/v1/pods' });
      const pods = (body['items'] ?? []) as PodObject[];
      await Promise.all(
        pods.filter((pod) => this.#namespaces.test(pod.metadata.namespace)).map((pod) => this.#sync(pod)),
      );
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  async #sync(object: PodObject): Promise<void> {
    const { uid, deletionTimestamp } = object.metadata;
    if (deletionTimestamp !== undefined) await this.#remove(object);
    else if (!this.#running.has(uid)) await this.#start(object);
  }

  async #start({ metadata, spec }: PodObject): Promise<void> {
    const { name, namespace, uid } = metadata;
    const node = this.#lab.node(spec.nodeName ?? '');
    const pod = await node.addPod({ name: `t-${uid.slice(0, 8)}` });
    if (this.nameserver !== undefined) node.writeFile(RESOLV, resolvConf(this.nameserver, namespace));
    const argv = this.#inContainer(spec.containers[0]?.command ?? []);
    const { stdout } = await pod.exec(['sh', '-c', 'setsid "$@" >/dev/null 2>&1 </dev/null & echo $!', 'sh', ...argv]);
    this.#running.set(uid, { pod, pid: stdout.trim() });
    this.#names.set(`${namespace}/${name}`, uid);
    const status = {
      phase: 'Running',
      podIP: pod.ip,
      podIPs: pod.ips.map((ip) => ({ ip })),
      conditions: [{ type: 'Ready', status: 'True' }],
      containerStatuses: [
        { name: 'test', image: '', imageID: '', ready: true, restartCount: 0, state: { running: {} } },
      ],
    };
    const path = `/api/v1/namespaces/${namespace}/pods/${name}/status`;
    await this.#server.call({ method: 'PATCH', path, body: { status }, contentType: MERGE });
  }

  /** The mounts and variables of a container: /sys is that of the pod's network, node is on PATH, and DNS is the cluster's. */
  #inContainer([program = '', ...args]: readonly string[]): string[] {
    const argv = [program === 'node' ? process.execPath : program, ...args];
    const dns = this.nameserver === undefined ? '' : `mount --bind ${RESOLV} /etc/resolv.conf && `;
    return ['unshare', '--mount', 'sh', '-c', `mount -t sysfs sysfs /sys && ${dns}exec "$@"`, 'sh', ...argv];
  }

  async #remove({ metadata: { name, namespace, uid } }: PodObject): Promise<void> {
    const running = this.#running.get(uid);
    this.#running.delete(uid);
    if (running !== undefined) {
      await running.pod.exec(['kill', '-9', running.pid]);
      await running.pod.remove();
    }
    const path = `/api/v1/namespaces/${namespace}/pods/${name}?gracePeriodSeconds=0`;
    await this.#server.call({ method: 'DELETE', path });
  }
}
