// A copy of everything under <prefix>/subnets/ in etcd. It is listed once and then kept up to date by a watch. When etcd has
// compacted away the history the watch needs, it is listed again. It never ends by itself.

import type { FailureLog, Logger } from '../../health/log.ts';
import type { PeerProblem } from '../../health/peer-problem.ts';
import type { StoreTroubles } from '../../health/store-troubles.ts';
import type { Lease } from '../manager.ts';
import { watchAgain } from '../watching.ts';
import { EtcdError } from './etcd-error.ts';
import type { KeyValue, WatchNews } from './etcd-json.ts';
import type { EtcdGateway, RangeResult } from './gateway.ts';
import type { Subnets } from './lease-key.ts';
import { parseLeaseEntry, parseLeaseKey, problemOf } from './lease-key.ts';

/** One key under subnets/, as far as it could be read. */
export interface Entry {
  /** The key without <prefix>/subnets/. */
  readonly name: string;
  readonly kv: KeyValue;
  /** The subnets the key takes, whatever its value says. */
  readonly subnets: Subnets | undefined;
  readonly lease: Lease | undefined;
  readonly problem: PeerProblem | undefined;
}

/** Never throws: an unreadable key or value becomes a problem. */
export function readEntry(prefix: string, kv: KeyValue): Entry {
  const name = kv.key.slice(prefix.length);
  let subnets: Subnets | undefined;
  try {
    subnets = parseLeaseKey(name);
    // Padded so that it sorts as text; a revision has 19 digits at most.
    const created = String(kv.createRevision).padStart(20, '0');
    return { name, kv, subnets, lease: { ...parseLeaseEntry(name, kv.value), created }, problem: undefined };
  } catch (error) {
    return { name, kv, subnets, lease: undefined, problem: problemOf(name, error) };
  }
}

export interface MirrorOptions {
  readonly gateway: EtcdGateway;
  /** Ends in `/subnets/`. */
  readonly prefix: string;
  readonly log: Logger;
  readonly troubles: StoreTroubles;
  /** 0 ≤ r < 1. */
  readonly random: () => number;
  /** How often the watch is opened again, so that one that died unnoticed does no harm for longer than this. */
  readonly watchLifeMs: number;
}

const retry = { firstMs: 100, capMs: 2000, jitter: 0.5 };

export class EtcdMirror {
  readonly #options: MirrorOptions;
  readonly #failures: FailureLog;
  readonly #entries = new Map<string, Entry>();
  #revision = 0n;
  #version = 0;
  #isListed = false;

  constructor(options: MirrorOptions) {
    this.#options = options;
    this.#failures = options.troubles.failureLog(options.log);
  }

  /** The entries by name; empty before the first listing. */
  get entries(): ReadonlyMap<string, Entry> {
    return this.#entries;
  }

  /** Everything up to this revision is in `entries`. */
  get revision(): bigint {
    return this.#revision;
  }

  /** Counts changes of `entries`; 0 before the first listing. */
  get version(): number {
    return this.#version;
  }

  /** Keeps the copy up to date until `signal` aborts; calls `onChange` after every change. */
  async run(onChange: () => void, signal: AbortSignal): Promise<void> {
    const watch = async (): Promise<void> => {
      if (!this.#isListed) await this.#list(signal);
      onChange();
      await this.#watch(onChange, signal);
    };
    const { random } = this.#options;
    await watchAgain({ watch, onFailure: (error) => this.#note(error), retry, random }, signal);
  }

  #note(error: unknown): void {
    const { log, prefix } = this.#options;
    if (error instanceof EtcdError && error.code === 'compacted') {
      this.#isListed = false;
      log.info({ prefix, revision: String(error.compactRevision) }, 'etcd was compacted, will read all leases again');
      return;
    }
    this.#failures.failed('watch', error, { prefix }, 'leases cannot be watched, the last known ones stay in use');
  }

  async #list(signal: AbortSignal): Promise<void> {
    const { gateway, prefix } = this.#options;
    const { revision, kvs }: RangeResult = await gateway.list(prefix, signal);
    this.#entries.clear();
    for (const kv of kvs) this.#put(kv);
    this.#revision = revision;
    this.#version++;
    this.#isListed = true;
    this.#failures.recovered('watch', { prefix }, 'leases can be read again');
  }

  async #watch(onChange: () => void, signal: AbortSignal): Promise<void> {
    const { gateway, prefix, watchLifeMs, random } = this.#options;
    const onNews = (news: WatchNews): void => {
      this.#apply(news);
      onChange();
    };
    const onOpen = (): void => this.#failures.recovered('watch', { prefix }, 'leases can be watched again');
    const lifeMs = watchLifeMs * (0.75 + random() / 2);
    await gateway.watch(prefix, this.#revision + 1n, { onNews, onOpen }, lifeMs, signal);
  }

  #apply({ revision, events }: WatchNews): void {
    for (const { isDelete, kv } of events) {
      if (isDelete) this.#entries.delete(kv.key.slice(this.#options.prefix.length));
      else this.#put(kv);
    }
    if (events.length > 0) this.#version++;
    if (revision > this.#revision) this.#revision = revision;
  }

  #put(kv: KeyValue): void {
    const entry = readEntry(this.#options.prefix, kv);
    this.#entries.set(entry.name, entry);
  }
}
