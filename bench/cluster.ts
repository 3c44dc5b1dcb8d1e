// What do pods of a real cluster see, whatever its pod network is? Pods of the bench on two nodes measure it, in a namespace of their own
// that is removed at the end, even after Ctrl-C, and when this program is killed: then the driver in the cluster removes it. The programs
// in the pods are in cluster/pods; the Node of Weft's image runs them, so no other image is pulled.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type DriverResult, describeCluster, describeNetwork } from './cluster/describe.ts';
import { Kubectl } from './cluster/kubectl.ts';
import { baseObjects, driverPod, namespaceObject, type Places, podSpec, serverObjects } from './cluster/objects.ts';
import type { BenchOptions } from './options.ts';
import type { Progress } from './progress.ts';
import type { Part, PartResult } from './result.ts';

const ROUNDS = 30;
const QUICK_ROUNDS = 3;
const START_MS = 180_000;
const BEAT_MS = 5000;
const STREAM_MS = 1000;
const EXCHANGES = 2000;
/** Longer than any step of the driver. */
const SILENT_MS = 400_000;
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

export const clusterPart: Part = {
  name: 'cluster',
  question: 'What do pods of a cluster see?',
  seconds: { full: 600 },
  measure,
};

interface PodObject {
  readonly metadata: { readonly name: string };
  readonly status: {
    readonly phase: string;
    readonly podIP?: string;
    readonly containerStatuses?: readonly { readonly state: { readonly waiting?: { readonly message?: string } } }[];
  };
}

interface NodeObject {
  readonly metadata: { readonly name: string; readonly labels?: Readonly<Record<string, string>> };
  readonly spec: { readonly unschedulable?: boolean };
  readonly status: {
    readonly addresses: readonly { readonly type: string; readonly address: string }[];
    readonly nodeInfo: Readonly<Record<string, string>>;
    readonly daemonEndpoints: { readonly kubeletEndpoint: { readonly Port: number } };
    readonly conditions: readonly { readonly type: string; readonly status: string }[];
  };
}

type DaemonSets = Parameters<typeof describeNetwork>[0];

async function measure(options: BenchOptions, progress: Progress): Promise<PartResult> {
  const { cluster } = options;
  if (cluster === undefined) throw new Error('cluster: no options');
  const kubectl = new Kubectl(cluster);
  progress.step('cluster: looking', 0, 1);
  const nodes = (await kubectl.items<NodeObject>(['nodes'])).filter(isReady);
  const daemonSets = [...(await kubectl.items<DaemonSets[number]>(['daemonsets', '--all-namespaces']))];
  const [near, far] = chooseNodes(nodes, cluster.nodes);
  const image = cluster.image ?? ourImage(daemonSets);
  const places = {
    namespace: `weft-bench-${process.pid}`,
    image,
    nearNode: near.metadata.name,
    farNode: far.metadata.name,
  };
  const run = new ClusterRun(kubectl, places, join(options.repository, 'bench/cluster/pods'));
  const result = await run.through({ ...options, churn: cluster.churn }, kubeletOf(far), progress);
  const { serverVersion } = await kubectl.json<{ serverVersion: { gitVersion: string } }>(['version']);
  return describeCluster(result, {
    network: describeNetwork(daemonSets),
    kubernetes: serverVersion.gitVersion,
    image,
    nodes: Object.fromEntries([near, far].map(({ metadata, status }) => [metadata.name, status.nodeInfo])),
    nodesInAll: nodes.length,
  });
}

function isReady({ spec, status }: NodeObject): boolean {
  return (
    spec.unschedulable !== true && status.conditions.some(({ type, status: is }) => type === 'Ready' && is === 'True')
  );
}

/** The two nodes in `--nodes A,B`, or the first two that are ready. */
function chooseNodes(nodes: readonly NodeObject[], names: string | undefined): readonly [NodeObject, NodeObject] {
  const wanted = names?.split(',');
  const find = (name: string): NodeObject => {
    const found = nodes.find(({ metadata }) => metadata.name === name);
    if (found === undefined)
      throw new Error(`--nodes: no ready node "${name}" among ${nodes.map((one) => one.metadata.name).join(', ')}`);
    return found;
  };
  const [near, far] = wanted === undefined ? nodes : wanted.map(find);
  if (near === undefined || far === undefined) throw new Error('cluster: two ready nodes are needed');
  return [near, far];
}

/** The agents' image, if Weft is measured. */
function ourImage(daemonSets: DaemonSets): string {
  const weft = daemonSets.find(({ metadata }) => metadata.namespace === 'weft' && metadata.name === 'weft');
  const image = weft?.spec.template.spec.containers[0]?.image;
  if (image === undefined)
    throw new Error('--image REF is needed where Weft is not installed: its Node runs the pods that measure');
  return image;
}

interface Kubelet {
  readonly host: string;
  readonly port: number;
}

/** The address of the node's kubelet. */
function kubeletOf({ metadata, status }: NodeObject): Kubelet {
  const found = status.addresses.find(({ type }) => type === 'InternalIP')?.address;
  if (found === undefined) throw new Error(`node ${metadata.name} has no InternalIP`);
  return { host: found, port: status.daemonEndpoints.kubeletEndpoint.Port };
}

type RunOptions = Pick<BenchOptions, 'quick' | 'runs'> & { readonly churn: number };

/** One run in one namespace. */
class ClusterRun {
  readonly #kubectl: Kubectl;
  readonly #places: Places;
  readonly #folder: string;

  constructor(kubectl: Kubectl, places: Places, folder: string) {
    this.#kubectl = kubectl;
    this.#places = places;
    this.#folder = folder;
  }

  async through(options: RunOptions, kubelet: Kubelet, progress: Progress): Promise<DriverResult> {
    const stop = (): void => void this.#remove().finally(() => process.exit(130));
    for (const signal of SIGNALS) process.once(signal, stop);
    const heart = setInterval(() => void this.#beat().catch(() => undefined), BEAT_MS);
    try {
      progress.step('cluster: pods that serve', 0, 1);
      const { namespace } = this.#places;
      await this.#kubectl.apply([namespaceObject(namespace)]);
      const { uid } = (await this.#kubectl.json<{ metadata: { uid: string } }>(['get', 'namespace', namespace]))
        .metadata;
      await this.#kubectl.apply(baseObjects(namespace, uid, this.#programs()));
      await this.#kubectl.apply(serverObjects(this.#places));
      const ips = await this.#untilServing();
      const service = await this.#get<{ spec: { clusterIP: string } }>('service', 'far');
      await this.#kubectl.apply([driverPod(this.#places, this.#setup(options, ips, service.spec.clusterIP, kubelet))]);
      return await this.#untilResult(progress);
    } finally {
      clearInterval(heart);
      for (const signal of SIGNALS) process.off(signal, stop);
      await this.#remove();
    }
  }

  #programs(): Record<string, string> {
    return Object.fromEntries(
      readdirSync(this.#folder).map((name) => [name, readFileSync(join(this.#folder, name), 'utf8')]),
    );
  }

  #setup(
    { quick, runs, churn }: RunOptions,
    ips: ReadonlyMap<string, string>,
    service: string,
    kubelet: Kubelet,
  ): Record<string, unknown> {
    const { namespace, image, farNode } = this.#places;
    const ip = (name: string): string => ips.get(name) ?? '';
    const path = (key: string, from: string, address: string, counter: string): object => ({
      key,
      from: ip(from),
      address,
      counter: ip(counter),
    });
    return {
      namespace,
      farNode,
      kubelet,
      collector: ip('near'),
      far: ip('far'),
      rounds: runs ?? (quick ? QUICK_ROUNDS : ROUNDS),
      churn,
      churns: quick ? 1 : 5,
      streamMs: STREAM_MS,
      exchanges: EXCHANGES,
      pod: podSpec(image, []),
      paths: [
        path('pod-near', 'near', ip('beside'), 'beside'),
        path('pod-far', 'near', ip('far'), 'far'),
        path('service', 'near', service, 'far'),
        path('host', 'near-host', ip('far-host'), 'far-host'),
      ],
    };
  }

  async #get<T>(kind: string, name: string): Promise<T> {
    return await this.#kubectl.json<T>(['get', kind, name, '--namespace', this.#places.namespace]);
  }

  async #beat(): Promise<void> {
    const patch = JSON.stringify({ data: { beat: String(Date.now()) } });
    await this.#kubectl.run([
      'patch',
      'configmap',
      'heart',
      '--namespace',
      this.#places.namespace,
      '--type=merge',
      `--patch=${patch}`,
    ]);
  }

  async #untilServing(): Promise<ReadonlyMap<string, string>> {
    for (const end = Date.now() + START_MS; ; await sleep(500)) {
      const pods = await this.#kubectl.items<PodObject>(['pods', '--namespace', this.#places.namespace]);
      const waiting = pods.filter(({ status }) => status.phase !== 'Running' || status.podIP === undefined);
      if (pods.length > 0 && waiting.length === 0)
        return new Map(pods.map(({ metadata, status }) => [metadata.name, status.podIP ?? '']));
      if (Date.now() < end) continue;
      const why = waiting.map(
        ({ metadata, status }) =>
          `${metadata.name}: ${status.containerStatuses?.[0]?.state.waiting?.message ?? status.phase}`,
      );
      throw new Error(`pods of the bench do not run after ${START_MS / 1000} s: ${why.join('; ')}`);
    }
  }

  async #untilResult(progress: Progress): Promise<DriverResult> {
    let [last, since] = ['', Date.now()];
    for (;;) {
      await sleep(1000);
      const { data = {} } = await this.#get<{ data?: Readonly<Record<string, string>> }>('configmap', 'result');
      if (data['result'] !== undefined) return JSON.parse(data['result']) as DriverResult;
      const text = data['progress'] ?? '';
      if (text !== last) [last, since] = [text, Date.now()];
      if (text !== '') {
        const { label, done, total } = JSON.parse(text) as { label: string; done: number; total: number };
        progress.step(`cluster: ${label}`, done, total);
      }
      const { status } = await this.#get<PodObject>('pod', 'driver');
      if (status.phase === 'Failed' || Date.now() - since > SILENT_MS)
        throw new Error(`the driver says nothing: ${status.phase}`);
    }
  }

  /** Never rejects, because it runs when other things have failed. */
  async #remove(): Promise<void> {
    const { namespace } = this.#places;
    const remove = (kind: string): Promise<unknown> =>
      this.#kubectl.run(['delete', kind, namespace, '--ignore-not-found', '--wait=false']).catch(() => undefined);
    await Promise.all(['namespace', 'clusterrolebinding', 'clusterrole'].map(remove));
  }
}
