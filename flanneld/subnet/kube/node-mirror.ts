// A copy of all Nodes with the few fields that are needed. They are listed once and then watched. After any failure the watch
// goes on from where it ended; when the server no longer has that version (410), all are listed again. It never ends by itself.

import { backoffMs } from '../../../lib/backoff.ts';
import type { FailureLog, Logger } from '../../health/log.ts';
import type { StoreTroubles } from '../../health/store-troubles.ts';
import { sleepUnlessAborted } from '../bell.ts';
import { linkedTo } from '../linked.ts';
import { watchAgain } from '../watching.ts';
import type { KubeApi, WatchEvent } from './api.ts';
import { errorOfStatus, KubeError } from './api.ts';
import type { NodeRecord } from './node.ts';
import { asObject, asText, hasMoved, isNotNewer, lacksPodCidr, mergeNode, readNode, sameNode } from './node.ts';
import type { ListEnd } from './node-list.ts';

export interface KubeMirrorOptions {
  readonly api: KubeApi;
  /** Normalized. */
  readonly prefix: string;
  readonly log: Logger;
  readonly troubles: StoreTroubles;
  /** 0 ≤ r < 1. */
  readonly random: () => number;
  readonly pageSize: number;
  /** Mean length of one watch; each is up to half longer or shorter. */
  readonly watchSec: number;
}

const retry = { firstMs: 200, capMs: 2000, jitter: 0.9 };
/** After this many unreadable answers in a row everything is listed again. */
const LONGEST_BAD_RUN = 3;
/** How many deletions are remembered, so that an older event that comes late does not bring a deleted Node back. */
const DELETIONS_KEPT = 1000;

export class KubeMirror {
  readonly #options: KubeMirrorOptions;
  readonly #failures: FailureLog;
  readonly #nodes = new Map<string, NodeRecord>();
  readonly #deletedAt = new Map<string, string>();
  /** Peers whose whole Node must be read. */
  readonly #wanted = new Set<string>();
  /** The version from which the watch goes on; undefined when all must be listed first. */
  #resourceVersion: string | undefined;
  #version = 0;
  /** The names of Nodes that changed since takeChanges; undefined when all may have changed. */
  #changed: Set<string> | undefined;
  #isListed = false;
  #badRun = 0;

  constructor(options: KubeMirrorOptions) {
    this.#options = options;
    this.#failures = options.troubles.failureLog(options.log);
  }

  get nodes(): ReadonlyMap<string, NodeRecord> {
    return this.#nodes;
  }

  /** Whether all Nodes have been listed at least once. */
  get isListed(): boolean {
    return this.#isListed;
  }

  /** Counts changes of `nodes`. */
  get version(): number {
    return this.#version;
  }

  /** The names of Nodes that have come, changed or gone since the last call; undefined when any may have changed. There is one caller. */
  takeChanges(): ReadonlySet<string> | undefined {
    const changed = this.#changed;
    this.#changed = new Set();
    return changed;
  }

  #changedOne(name: string): void {
    this.#changed?.add(name);
    this.#version++;
  }

  /** Takes over a Node read or written outside of the watch. */
  adopt(object: unknown): NodeRecord | undefined {
    const node = readNode(object, this.#options.prefix);
    return node === undefined ? undefined : this.#put(node);
  }

  /** Keeps the copy up to date until `signal` aborts; calls `onChange` after every change. */
  async run(onChange: () => void, signal: AbortSignal): Promise<void> {
    const watch = async (): Promise<void> => {
      this.#resourceVersion ??= await this.#list(signal);
      await this.#fillIn(signal);
      onChange();
      await this.#watch(this.#resourceVersion, onChange, signal);
    };
    const { random } = this.#options;
    await watchAgain({ watch, onFailure: (error) => this.#note(error), retry, random }, signal);
  }

  #note(error: unknown): void {
    if (error instanceof KubeError && error.status === 410) {
      this.#resourceVersion = undefined;
      this.#options.log.info(
        { err: error },
        'the API server no longer has the watched version of the nodes, will list them again',
      );
      return;
    }
    // After three unreadable answers in a row a listing may help, because it has another format.
    const isUnreadable = error instanceof KubeError && (error.code === 'bad answer' || error.code === 'bad event');
    if (isUnreadable && ++this.#badRun % LONGEST_BAD_RUN === 0) this.#resourceVersion = undefined;
    this.#failures.failed('watch', error, {}, 'nodes cannot be watched, the last known leases stay in use');
  }

  /** The first listing comes from the server's memory, because thousands of agents may start at once. The watch reports newer changes. */
  async #list(signal: AbortSignal): Promise<string> {
    const { api, pageSize, prefix, log } = this.#options;
    const found = new Map<string, NodeRecord>();
    const onNode = (object: unknown): void => {
      const node = readNode(object, prefix);
      if (node !== undefined) found.set(node.name, node);
    };
    const isCacheFine = !this.#isListed;
    let resourceVersion = '';
    for (let next: string | undefined = ''; next !== undefined; ) {
      const page: ListEnd = await api.listNodes({ limit: pageSize, next, isCacheFine }, onNode, signal);
      resourceVersion = page.resourceVersion;
      next = page.next === '' ? undefined : page.next;
    }
    this.#replace(found, isCacheFine);
    this.#failures.recovered('watch', {}, 'nodes can be read again');
    log.debug({ nodes: found.size, resourceVersion }, 'nodes listed');
    return resourceVersion;
  }

  /** With `mayBeOld`, Nodes that were adopted before stay where they are newer than the listing. */
  #replace(found: Map<string, NodeRecord>, mayBeOld: boolean): void {
    for (const [name, known] of mayBeOld ? this.#nodes : []) {
      const node = found.get(name);
      if (node?.uid === known.uid && isNotNewer(node.resourceVersion, known.resourceVersion)) found.set(name, known);
    }
    this.#nodes.clear();
    this.#deletedAt.clear();
    this.#wanted.clear();
    for (const [name, node] of found) this.#nodes.set(name, node);
    this.#changed = undefined;
    this.#version++;
    this.#isListed = true;
  }

  async #watch(from: string, onChange: () => void, signal: AbortSignal): Promise<void> {
    const { api, watchSec, random } = this.#options;
    const ending = linkedTo(signal);
    // The podCIDRs of new peers are read while the watch goes on.
    let filling: Promise<void> = Promise.resolve();
    let isFilling = false;
    const fillIn = async (): Promise<void> => {
      while (this.#wanted.size > 0 && !ending.signal.aborted) {
        await this.#fillIn(ending.signal);
        onChange();
      }
      isFilling = false;
    };
    const onEvent = (event: WatchEvent): void => {
      this.#apply(event);
      this.#badRun = 0;
      onChange();
      if (this.#wanted.size === 0 || isFilling) return;
      isFilling = true;
      filling = fillIn();
    };
    const onOpen = (): void => this.#failures.recovered('watch', {}, 'nodes can be watched again');
    try {
      await api.watchNodes(from, Math.round(watchSec * (0.5 + random())), { onEvent, onOpen }, signal);
    } finally {
      ending.abort();
      ending.unlink();
      await filling;
    }
  }

  #apply({ type, object }: WatchEvent): void {
    if (type === 'ERROR') throw errorOfStatus(object);
    const version = asText(asObject(asObject(object)?.['metadata'])?.['resourceVersion']);
    if (version === '') throw new KubeError('watch', 'nodes', 0, 'bad event', `${type.slice(0, 32)} without a version`);
    const node = readNode(object, this.#options.prefix);
    if (type === 'DELETED' && node !== undefined) this.#delete(node);
    else if ((type === 'ADDED' || type === 'MODIFIED') && node !== undefined) this.#put(node);
    // Versions in a stream rise. An event with a lower one came late and must not move the watch back.
    if (this.#resourceVersion === undefined || !isNotNewer(version, this.#resourceVersion)) {
      this.#resourceVersion = version;
    }
  }

  #put(next: NodeRecord): NodeRecord {
    const before = this.#nodes.get(next.name);
    const known = before?.resourceVersion ?? this.#deletedAt.get(next.name) ?? '';
    if (isNotNewer(next.resourceVersion, known)) return before === undefined ? next : this.#fill(before, next);
    const node = mergeNode(before, next);
    this.#nodes.set(node.name, node);
    this.#deletedAt.delete(node.name);
    if (lacksPodCidr(node) || hasMoved(before, next)) this.#wanted.add(node.name);
    else this.#wanted.delete(node.name);
    if (before === undefined || !sameNode(before, node)) this.#changedOne(node.name);
    return node;
  }

  #delete({ name, resourceVersion }: NodeRecord): void {
    const before = this.#nodes.get(name);
    const known = before?.resourceVersion ?? '';
    if (resourceVersion !== known && isNotNewer(resourceVersion, known)) return; // the event is about an earlier Node of that name
    this.#deletedAt.delete(name);
    this.#deletedAt.set(name, resourceVersion);
    const oldest = this.#deletedAt.keys().next();
    if (this.#deletedAt.size > DELETIONS_KEPT && oldest.done !== true) this.#deletedAt.delete(oldest.value);
    this.#wanted.delete(name);
    if (this.#nodes.delete(name)) this.#changedOne(name);
  }

  /** Reads the whole Node of every peer whose podCIDR is unknown. A Node without a podCIDR is read again at its next change. */
  async #fillIn(signal: AbortSignal): Promise<void> {
    const names = [...this.#wanted];
    let failures = 0;
    this.#wanted.clear();
    for (const name of names) {
      if (signal.aborted) return;
      try {
        this.adopt(await this.#options.api.getNode(name, signal));
        this.#failures.recovered(`get ${name}`, { peer: name }, 'node can be read again');
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof KubeError && error.status === 404) continue;
        this.#wanted.add(name);
        this.#failures.failed(`get ${name}`, error, { peer: name }, 'podCIDR of a node cannot be read, will retry');
        await sleepUnlessAborted(backoffMs(retry, ++failures, this.#options.random()), signal);
      }
    }
  }

  /** Adds podCIDRs and addresses to a Node that was known in this version by its metadata only. */
  #fill(before: NodeRecord, { uid, podCidrs, addresses }: NodeRecord): NodeRecord {
    if (before.uid !== uid || podCidrs === undefined) return before;
    const filled = { ...before, podCidrs, addresses };
    if (sameNode(before, filled)) return before;
    this.#nodes.set(before.name, filled);
    this.#changedOne(before.name);
    return filled;
  }
}
