// This node's own Node object. The agent waits until it has a podCIDR, writes our annotations and keeps them there, and sets the condition
// when the node forwards. It writes only by patches of the status sub-resource, and Events.

import { backoffMs } from '../../../lib/backoff.ts';
import { steadyMs } from '../../../lib/clock-node.ts';
import { errorText, OpError } from '../../../lib/errors.ts';
import type { NetConf } from '../../../lib/net-conf.ts';
import type { FailureLog, Logger } from '../../health/log.ts';
import type { StoreTroubles } from '../../health/store-troubles.ts';
import { sleepUnlessAborted } from '../bell.ts';
import type { Lease, LeaseAttributes, ReportType } from '../manager.ts';
import type { Annotations } from './annotations.ts';
import { MOVE_DATA, ownAnnotations } from './annotations.ts';
import type { KubeApi } from './api.ts';
import { KubeError } from './api.ts';
import type { NodeRecord } from './node.ts';
import type { PodSubnets } from './node-lease.ts';
import { findPodCidrProblem, podSubnets } from './node-lease.ts';
import type { KubeMirror } from './node-mirror.ts';
import { networkAvailablePatch, nodeEvent } from './node-status.ts';
import { type OwnAddresses, withOverwrites } from './own-addresses.ts';

export interface OwnNodeOptions {
  readonly api: KubeApi;
  readonly mirror: KubeMirror;
  readonly name: string;
  /** Normalized. */
  readonly prefix: string;
  readonly setNetworkUnavailable: boolean;
  readonly addresses: OwnAddresses;
  readonly log: Logger;
  readonly troubles: StoreTroubles;
  readonly random: () => number;
  readonly now: () => Date;
}

const retry = { firstMs: 300, capMs: 3000, jitter: 0.5 };
/** When to check again while nothing is due; the watch reports every change earlier. */
const IDLE_MS = 60_000;
/** The shortest time between two writes of annotations that somebody keeps removing. */
const RESTORE_MS = 1000;
/** When to write the same Event again while the trouble lasts: before the server deletes it, after an hour. */
const EVENT_MS = 30 * 60_000;

interface Wanted {
  readonly attributes: LeaseAttributes;
  readonly config: NetConf;
  readonly subnets: PodSubnets;
}

export class OwnNode {
  readonly #options: OwnNodeOptions;
  readonly #failures: FailureLog;
  #wanted: Wanted | undefined;
  #writtenAt = Number.NEGATIVE_INFINITY;
  #failedWrites = 0;
  #isReady = false;
  /** The uid of the Node whose condition was set; a Node that was created again needs it again. */
  #toldUid: string | undefined;
  readonly #eventsAt = new Map<string, number>();

  constructor(options: OwnNodeOptions) {
    this.#options = options;
    this.#failures = options.troubles.failureLog(options.log);
  }

  /** Call when the node forwards: from then on the Node's condition must say that the network is available. */
  announceReady(): void {
    this.#isReady = this.#options.setNetworkUnavailable;
  }

  /** Reads the whole Node; retries until there is one. */
  async read(signal: AbortSignal): Promise<NodeRecord> {
    const { api, mirror, name, random } = this.#options;
    for (let attempt = 1; ; attempt++) {
      signal.throwIfAborted();
      try {
        const node = mirror.adopt(await api.getNode(name, signal));
        this.#failures.recovered('read', { node: name }, 'own node can be read');
        if (node !== undefined) return node;
      } catch (error) {
        if (signal.aborted) throw error;
        const hint =
          error instanceof KubeError && error.status === 404 ? ' (NODE_NAME must be the name of this Node)' : '';
        this.#failures.failed('read', errorText(error) + hint, { node: name }, 'own node cannot be read, will retry');
      }
      await sleepUnlessAborted(backoffMs(retry, attempt, random()), signal);
    }
  }

  /** Waits for a podCIDR, checks it, and only then publishes. Rejects with OpError when it does not fit the network. */
  async acquire(attributes: LeaseAttributes, config: NetConf, signal: AbortSignal): Promise<Lease> {
    const node = await this.#withPodCidr(signal);
    const subnets = podSubnets(node.podCidrs ?? [], config);
    const problem = findPodCidrProblem(node.name, subnets, config);
    if (problem !== undefined) {
      await this.report('PodCIDRNotInNetwork', problem, signal);
      throw new OpError({
        subsystem: 'kube',
        op: 'acquire',
        object: `lease of node ${node.name}`,
        code: 'no subnet',
        detail: problem,
      });
    }
    this.#wanted = { attributes, config, subnets };
    this.#writtenAt = Number.NEGATIVE_INFINITY; // new attributes are written at once
    for (let latest = node; ; latest = await this.read(signal)) {
      const waitMs = await this.putRight(latest, signal);
      signal.throwIfAborted();
      const current = this.#options.mirror.nodes.get(node.name);
      const published = withOverwrites(attributes, this.#options.addresses.of((current ?? latest).annotations));
      if (this.#failedWrites === 0 && this.#missing(current ?? latest, published).size === 0) {
        return { ...published, ...subnets };
      }
      await sleepUnlessAborted(waitMs, signal);
    }
  }

  /** Waits for a podCIDR, since the controller manager may be about to assign one. Differs from flannel, which exits. */
  async #withPodCidr(signal: AbortSignal): Promise<NodeRecord> {
    const { name, random } = this.#options;
    for (let attempt = 1; ; attempt++) {
      const node = await this.read(signal);
      if (node.podCidrs !== undefined && node.podCidrs.length > 0) {
        this.#failures.recovered('podCIDR', { node: name }, 'pod cidr assigned');
        return node;
      }
      const message =
        `node "${name}" pod cidr not assigned: waiting for it. kube-controller-manager assigns it when it runs with ` +
        '--allocate-node-cidrs=true and --cluster-cidr (kubeadm: networking.podSubnet)';
      this.#failures.failed('podCIDR', message, { node: name }, 'pod cidr not assigned');
      await this.report('PodCIDRNotAssigned', message, signal);
      await sleepUnlessAborted(backoffMs(retry, attempt, random()), signal);
    }
  }

  /**
   * Writes our missing annotations, and the condition once the node forwards. Returns when to check again, in ms. Rejects with OpError when
   * the Node now has another podCIDR.
   */
  async putRight(node: NodeRecord | undefined, signal: AbortSignal): Promise<number> {
    const wanted = this.#wanted;
    if (node === undefined || wanted === undefined) return IDLE_MS;
    const { api, mirror, prefix, addresses } = this.#options;
    try {
      // If the Node was created again, only its metadata are known.
      const whole = node.podCidrs === undefined ? mirror.adopt(await api.getNode(node.name, signal)) : node;
      if (whole?.podCidrs === undefined || whole.podCidrs.length === 0) return RESTORE_MS;
      checkSubnets(node.name, podSubnets(whole.podCidrs, wanted.config), wanted.subnets);
      const missing = this.#missing(whole, withOverwrites(wanted.attributes, addresses.of(whole.annotations)));
      if (missing.size > 0) {
        const waitMs = this.#writtenAt + RESTORE_MS - steadyMs();
        if (waitMs > 0) return waitMs;
        await this.#write(whole.name, missing, prefix, signal);
      }
      if (this.#isReady && this.#toldUid !== whole.uid) await this.#tellReady(whole, signal);
      this.#failedWrites = 0;
      this.#failures.recovered('write', { node: node.name }, 'own node can be written again');
      return IDLE_MS;
    } catch (error) {
      if (signal.aborted) return 0;
      if (!(error instanceof KubeError)) throw error;
      this.#failedWrites++;
      this.#failures.failed('write', error, { node: node.name }, 'failed to patch node, will retry');
      return backoffMs(retry, this.#failedWrites, this.#options.random());
    }
  }

  #missing(node: NodeRecord, published: LeaseAttributes): Annotations {
    const own = new Map(ownAnnotations(published));
    // A node that no longer moves must not advertise a key that it no longer has.
    if (!own.has(MOVE_DATA) && node.annotations.has(MOVE_DATA)) own.set(MOVE_DATA, '');
    return new Map([...own].filter(([key, value]) => node.annotations.get(key) !== value));
  }

  async #write(name: string, missing: Annotations, prefix: string, signal: AbortSignal): Promise<void> {
    const { api, mirror, log } = this.#options;
    const annotations = Object.fromEntries([...missing].map(([key, value]) => [prefix + key, value]));
    mirror.adopt(await api.patchNodeStatus(name, { metadata: { annotations } }, signal));
    this.#writtenAt = steadyMs();
    log.info({ node: name, annotations: [...missing.keys()].join(' ') }, 'own annotations written');
  }

  /** Sets the condition. Differs from flannel (D7): it is retried until it succeeds. */
  async #tellReady(node: NodeRecord, signal: AbortSignal): Promise<void> {
    const { api, mirror, log, now } = this.#options;
    mirror.adopt(await api.patchNodeStatus(node.name, networkAvailablePatch(now()), signal));
    this.#toldUid = node.uid;
    log.info({ node: node.name }, 'condition NetworkUnavailable set to False');
  }

  /** Writes an Event about the Node. A failure is ignored: the log has the message, too, and Events may be forbidden. */
  async report(reason: string, message: string, signal: AbortSignal, type: ReportType = 'Warning'): Promise<void> {
    const { api, name, log, now } = this.#options;
    const text = `${reason} ${message}`;
    if (now().getTime() - (this.#eventsAt.get(text) ?? Number.NEGATIVE_INFINITY) < EVENT_MS) return;
    this.#eventsAt.set(text, now().getTime());
    try {
      await api.createEvent(nodeEvent({ node: name, reason, message, type }, now()), signal);
    } catch (error) {
      log.debug({ err: error, reason }, 'Event could not be written');
    }
  }
}

/** Peers route to the podCIDR the Node has now, so a changed one must not go unnoticed. Differs from flannel, which never checks. */
function checkSubnets(node: string, now: PodSubnets, taken: PodSubnets): void {
  for (const key of ['subnet', 'ipv6Subnet'] as const) {
    const [a, b] = [now[key], taken[key]];
    if (a === undefined || b === undefined || (a.ip.value === b.ip.value && a.length === b.length)) continue;
    const detail = 'the Node has another podCIDR now; a restart takes it, existing pods keep their addresses';
    throw new OpError({ subsystem: 'kube', op: 'keep lease', object: `of node ${node}`, code: 'lost', detail });
  }
}
