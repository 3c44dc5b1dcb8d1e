// The Kubernetes store: leases are Nodes with flannel's annotations, so that both agents can share one cluster.

import { backoffMs } from '../../../lib/backoff.ts';
import { OpError } from '../../../lib/errors.ts';
import type { Ip } from '../../../lib/ip.ts';
import type { NetConf } from '../../../lib/net-conf.ts';
import type { FailureLog, Logger } from '../../health/log.ts';
import { type StoreTrouble, StoreTroubles } from '../../health/store-troubles.ts';
import { Bell, sleepUnlessAborted } from '../bell.ts';
import { type Heartbeat, heartbeatMs, keepAsking } from '../heartbeat.ts';
import type { Lease, LeaseAttributes, LeaseSnapshot, NodeAddresses, ReportType, SubnetManager } from '../manager.ts';
import { readNetConfFile } from '../net-conf-file.ts';
import { runTogether } from '../watching.ts';
import { normalizePrefix } from './annotations.ts';
import type { KubeAccess } from './api.ts';
import { KubeApi } from './api.ts';
import { LeasesOfNodes } from './leases-of-nodes.ts';
import { asObject, asText } from './node.ts';
import { KubeMirror } from './node-mirror.ts';
import { OwnAddresses } from './own-addresses.ts';
import { OwnNode } from './own-node.ts';

/** Names this node directly, or through the pod in which the agent runs. */
export interface NodeIdentity {
  readonly nodeName: string | undefined;
  readonly podName: string | undefined;
  readonly podNamespace: string | undefined;
}

export interface KubeManagerOptions {
  readonly access: KubeAccess;
  readonly identity: NodeIdentity;
  readonly annotationPrefix: string;
  readonly setNetworkUnavailable: boolean;
  readonly netConfigPath: string;
  /** The addresses an administrator had set for this node in an earlier run. */
  readonly earlierAddresses?: NodeAddresses | undefined;
  /** Whether the address is the broadcast address of a link of this node; absent when that is unknown. */
  readonly isBroadcast?: (ip: Ip) => boolean;
  readonly log: Logger;
  /** 0 ≤ r < 1. */
  readonly random: () => number;
  readonly now: () => Date;
  readonly timeoutMs: number;
  readonly watchIdleMs: number;
  readonly watchSec: number;
  readonly pageSize: number;
}

/** The server sends a bookmark every minute, so a watch that is silent for 2.5 minutes is dead. */
export const kubeDefaults = { timeoutMs: 10_000, watchIdleMs: 150_000, watchSec: 400, pageSize: 500 };

const retry = { firstMs: 300, capMs: 3000, jitter: 0.5 };
/** Changes come in bursts; one snapshot after the burst is enough. */
const SETTLE_MS = 20;

/** The store in Kubernetes; nothing is asked before the first call. Throws ConfigError for a bad prefix. */
export function createKubeManager(options: KubeManagerOptions): SubnetManager {
  return new KubeManager(options);
}

class KubeManager implements SubnetManager {
  readonly #options: KubeManagerOptions;
  readonly #prefix: string;
  readonly #api: KubeApi;
  readonly #mirror: KubeMirror;
  readonly #failures: FailureLog;
  readonly #troubles = new StoreTroubles();
  readonly #bell = new Bell();
  #config: NetConf | undefined;
  #own: OwnNode | undefined;
  #ownName: string | undefined;
  #isReady = false;
  /** Reports that are still to be written as Events. */
  readonly #reports: { readonly reason: string; readonly message: string; readonly type: ReportType }[] = [];
  readonly #addresses: OwnAddresses;
  readonly #leases = new LeasesOfNodes();

  constructor(options: KubeManagerOptions) {
    this.#options = options;
    this.#prefix = normalizePrefix(options.annotationPrefix);
    this.#api = new KubeApi(options);
    const { log, random, pageSize, watchSec } = options;
    const troubles = this.#troubles;
    this.#mirror = new KubeMirror({ api: this.#api, prefix: this.#prefix, log, troubles, random, pageSize, watchSec });
    this.#failures = this.#troubles.failureLog(log);
    this.#addresses = new OwnAddresses({
      prefix: this.#prefix,
      podNetworks: () => [this.#config?.network, this.#config?.ipv6Network].filter((one) => one !== undefined),
      isBroadcast: options.isBroadcast ?? (() => false),
      earlier: options.earlierAddresses,
      log,
      onRefused: (message) => this.report('PublicIPRefused', message),
    });
  }

  async networkConfig(): Promise<NetConf> {
    this.#config = await readNetConfFile(this.#options.netConfigPath, this.#options.log);
    return this.#config;
  }

  async nodeAddresses(signal: AbortSignal): Promise<NodeAddresses> {
    const node = await (await this.#ownNode(signal)).read(signal);
    return this.#addresses.of(node.annotations);
  }

  async acquire(attributes: LeaseAttributes, signal: AbortSignal): Promise<Lease> {
    signal.throwIfAborted();
    const config = this.#config ?? (await this.networkConfig());
    const lease = await (await this.#ownNode(signal)).acquire(attributes, config, signal);
    this.#bell.ring();
    return lease;
  }

  announceReady(): void {
    this.#isReady = true;
    this.#own?.announceReady();
    this.#bell.ring();
  }

  troubles(): readonly StoreTrouble[] {
    return this.#troubles.list();
  }

  report(reason: string, message: string, type: ReportType = 'Warning'): void {
    this.#reports.push({ reason, message, type });
    this.#bell.ring();
  }

  async #ownNode(signal: AbortSignal): Promise<OwnNode> {
    if (this.#own !== undefined) return this.#own;
    const name = await this.#findName(signal);
    this.#ownName = name;
    const { setNetworkUnavailable, log, random, now } = this.#options;
    const troubles = this.#troubles;
    const common = { api: this.#api, mirror: this.#mirror, prefix: this.#prefix, log, troubles, random, now };
    this.#own = new OwnNode({ ...common, name, setNetworkUnavailable, addresses: this.#addresses });
    if (this.#isReady) this.#own.announceReady();
    return this.#own;
  }

  /** Returns NODE_NAME, else the node of our pod. Reading the pod is retried; flannel tries once. */
  async #findName(signal: AbortSignal): Promise<string> {
    const { nodeName, podName, podNamespace } = this.#options.identity;
    if (nodeName !== undefined) return nodeName;
    if (podName === undefined || podNamespace === undefined) {
      const detail = 'set NODE_NAME, or both env variables POD_NAME and POD_NAMESPACE must be set';
      throw new OpError({ subsystem: 'kube', op: 'find', object: 'own node', code: 'unknown', detail });
    }
    for (let attempt = 1; ; attempt++) {
      signal.throwIfAborted();
      try {
        const spec = asObject(asObject(await this.#api.getPod(podNamespace, podName, signal))?.['spec']);
        const name = asText(spec?.['nodeName']);
        this.#failures.recovered('pod', { pod: podName }, 'own pod can be read');
        if (name !== '') return name;
      } catch (error) {
        if (signal.aborted) throw error;
        this.#failures.failed('pod', error, { pod: podName }, 'own pod cannot be read, will retry');
      }
      await sleepUnlessAborted(backoffMs(retry, attempt, this.#options.random()), signal);
    }
  }

  /** Rejects with OpError `lost` when this node's podCIDR has changed: only a restart helps then. */
  async watch(onSnapshot: (snapshot: LeaseSnapshot) => void, signal: AbortSignal): Promise<void> {
    await runTogether(
      [
        (ending) => this.#mirror.run(this.#bell.ring, ending),
        (ending) => this.#tell(onSnapshot, ending),
        (ending) => this.#listen(ending),
      ],
      signal,
    );
  }

  /** Notices a server that is silent while the connection of the watch stays open. */
  async #listen(signal: AbortSignal): Promise<void> {
    const heartbeat: Heartbeat = {
      ask: () => this.#api.ping(signal),
      onAnswer: () => this.#failures.recovered('answer', {}, 'the API server answers again'),
      onFailure: (error) => this.#failures.failed('answer', error, {}, 'the API server does not answer, will retry'),
      everyMs: () => heartbeatMs(this.#mirror.nodes.size),
      retry,
      random: this.#options.random,
    };
    await keepAsking(heartbeat, signal);
  }

  async #tell(onSnapshot: (snapshot: LeaseSnapshot) => void, signal: AbortSignal): Promise<void> {
    const config = this.#config ?? (await this.networkConfig());
    let told = 0;
    while (!signal.aborted) {
      if (this.#mirror.isListed && this.#mirror.version !== told) {
        told = this.#mirror.version;
        onSnapshot(this.#snapshot(config));
      }
      const name = this.#ownName;
      const own = name === undefined ? undefined : this.#mirror.nodes.get(name);
      const dueMs = await this.#own?.putRight(own, signal);
      await this.#tellReports(signal);
      await this.#bell.wait(this.#mirror.version === told || !this.#mirror.isListed ? (dueMs ?? 60_000) : 0, signal);
      await sleepUnlessAborted(SETTLE_MS, signal);
    }
  }

  /** Writes one after the other, because an Event is named after the time. */
  async #tellReports(signal: AbortSignal): Promise<void> {
    const own = this.#own;
    if (own === undefined) return;
    for (const { reason, message, type } of this.#reports.splice(0)) await own.report(reason, message, signal, type);
  }

  #snapshot(config: NetConf): LeaseSnapshot {
    const { nodes } = this.#mirror;
    const told = this.#leases.update(nodes, this.#mirror.takeChanges(), config);
    const ownKey = this.#ownName ?? this.#options.identity.nodeName;
    const own = ownKey === undefined ? undefined : nodes.get(ownKey);
    const nodeAddresses = own && this.#addresses.of(own.annotations);
    return { ...told, ...(ownKey !== undefined && { ownKey }), ...(nodeAddresses && { nodeAddresses }) };
  }
}
