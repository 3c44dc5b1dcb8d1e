// The embedded store: a directory that all agents of one machine share, with one lease file for each node. inotify says when to read and
// which files changed. Every read lists the directory, so it sees which nodes came or went. All files are read again after a period, so a
// lost event does no lasting harm.

import { setTimeout as sleep } from 'node:timers/promises';
import { backoffMs } from '../../lib/backoff.ts';
import { steadyMs } from '../../lib/clock-node.ts';
import { OpError } from '../../lib/errors.ts';
import type { IpPrefix } from '../../lib/ip.ts';
import { formatPrefix, samePrefix } from '../../lib/ip.ts';
import type { NetConf } from '../../lib/net-conf.ts';
import { nodeErrorCode } from '../../lib/node-error-node.ts';
import type { SubnetPool } from '../../lib/subnet-pool.ts';
import { findLengthProblem, ipv6SubnetPool, subnetPool } from '../../lib/subnet-pool.ts';
import type { FailureLog, Logger } from '../health/log.ts';
import { createFailureLog } from '../health/log.ts';
import type { PeerProblem } from '../health/peer-problem.ts';
import { type StoreTrouble, StoreTroubles } from '../health/store-troubles.ts';
import { Bell, listen, sleepUnlessAborted } from './bell.ts';
import { chooseOwnSubnet } from './choose-subnet.ts';
import { LeaseDir, leaseFileName, removeLeaseFile, writeLeaseFile } from './lease-dir.ts';
import { renderLeaseFile } from './lease-file.ts';
import type { Lease, LeaseAttributes, LeaseSnapshot, SubnetManager } from './manager.ts';
import { readNetConfFile } from './net-conf-file.ts';
import { byCreation, claimSame } from './precedence.ts';

export interface DirectoryOptions {
  readonly dir: string;
  /** A valid node name; the lease file is named after it. */
  readonly nodeName: string;
  readonly netConfigPath: string;
  /** The subnets in subnet.env before this start. They are taken again when the lease file is lost and they are free. */
  readonly previous: { readonly subnet?: IpPrefix | undefined; readonly ipv6Subnet?: IpPrefix | undefined };
  readonly log: Logger;
  /** 0 ≤ r < 1. */
  readonly random: () => number;
  /** How often every file is read without an event, in ms. */
  readonly periodMs: number;
}

/** When to read again after a failed read, and while inotify does not work, in milliseconds. */
const FAILED_MS = 1000;
const DEAF_MS = 5000;
/**
 * Events come in bursts (temporary file, rename), and one read after the burst is enough. With thousands of leases a read takes longer than
 * this; then the pause is as long as the read, so that reading takes at most half of the time.
 */
const SETTLE_MS = 20;
const LONGEST_SETTLE_MS = 500;
/** The shortest time between two restorations of a lease that somebody keeps removing. */
const RESTORE_MS = 1000;
const CLAIM_ATTEMPTS = 20;
const nobody: LeaseSnapshot = { leases: new Map(), problems: [] };
const claimBackoff = { firstMs: 20, capMs: 500, jitter: 0.9 };

/** The store in `dir`; nothing is read or written before the first call. */
export function createDirectoryManager(options: DirectoryOptions): SubnetManager {
  return new DirectoryManager(options);
}

class DirectoryManager implements SubnetManager {
  readonly #options: DirectoryOptions;
  readonly #troubles = new StoreTroubles();
  readonly #failures: FailureLog;
  /** Logs restorations. They are not troubles of the store, because they are over when they are logged. */
  readonly #restores: FailureLog;
  readonly #dir: LeaseDir;
  /** This node's lease as it must be in the directory; undefined before acquire and after release. */
  #own: Lease | undefined;
  /** Whether a lease is being taken; meanwhile the lease file differs from `#own` and is not restored. */
  #isClaiming = false;
  /** The ranges from which subnets are taken; empty before the configuration is known. */
  #pools: readonly (SubnetPool | undefined)[] = [];
  /** The last snapshot with refused leases, and the same without them. Kept so that an unchanged snapshot stays the same object. */
  #fitting: { readonly all: LeaseSnapshot; readonly snapshot: LeaseSnapshot } | undefined;
  #restoredAt = Number.NEGATIVE_INFINITY;
  #restoreDue: number | undefined;

  constructor(options: DirectoryOptions) {
    this.#options = options;
    this.#dir = new LeaseDir(options.dir, options.nodeName);
    this.#failures = this.#troubles.failureLog(options.log);
    this.#restores = createFailureLog(options.log);
  }

  async networkConfig(): Promise<NetConf> {
    const config = await readNetConfFile(this.#options.netConfigPath, this.#options.log);
    this.#pools = [subnetPool(config), ipv6SubnetPool(config)];
    return config;
  }

  /**
   * Writes the lease file and then reads all others; the claim holds when none of them overlaps. If two agents claim the same
   * subnet at the same time, at least one sees the other's file; it then gives way and tries again.
   */
  async acquire(attributes: LeaseAttributes, signal: AbortSignal): Promise<Lease> {
    this.#isClaiming = true;
    try {
      return await this.#claim(attributes, signal);
    } finally {
      this.#isClaiming = false;
    }
  }

  async #claim(attributes: LeaseAttributes, signal: AbortSignal): Promise<Lease> {
    const { dir, nodeName } = this.#options;
    const config = await this.networkConfig();
    for (let attempt = 1; attempt <= CLAIM_ATTEMPTS; attempt++) {
      signal.throwIfAborted();
      const before = await this.#readOrEmpty();
      const lease = this.#choose(attributes, config, before);
      const since = this.#dir.createdOf(nodeName);
      await writeLeaseFile(dir, nodeName, renderLeaseFile(lease));
      const rival = keepsSubnets(before.leases.get(nodeName), lease)
        ? undefined
        : findRival(this.#fit(await this.#dir.read()), nodeName, lease, since);
      if (rival === undefined) {
        this.#own = lease;
        return lease;
      }
      await removeLeaseFile(dir, nodeName);
      this.#options.log.debug(
        { lease: showSubnets(lease), rival },
        'another node took the chosen subnet first, will choose again',
      );
      await sleep(backoffMs(claimBackoff, attempt, this.#options.random()), undefined, { signal });
    }
    throw this.#error('acquire', nodeName, 'lost race', `${CLAIM_ATTEMPTS} times`);
  }

  async #readOrEmpty(changed?: ReadonlySet<string>): Promise<LeaseSnapshot> {
    try {
      return await this.#dir.read(changed);
    } catch (error) {
      if (nodeErrorCode(error) === 'ENOENT') return nobody;
      throw error;
    }
  }

  #choose(attributes: LeaseAttributes, config: NetConf, { leases }: LeaseSnapshot): Lease {
    const { nodeName, previous, random } = this.#options;
    // When the lease file is lost or damaged, its mark still says since when this node has the subnets in subnet.env.
    const created = this.#dir.createdOf(nodeName);
    const own = leases.get(nodeName) ?? (created === undefined ? undefined : { ...previous, created });
    const others = [...leases].filter(([node]) => node !== nodeName);
    const fitting = others.filter(([, lease]) => this.#refusalOf(lease) === undefined);
    const elders = own && fitting.filter(([node, lease]) => isElder(node, lease, nodeName, own));
    const taken = { all: prefixesOf(others), fitting: prefixesOf(fitting), byElders: elders && prefixesOf(elders) };
    const choose = (pool: SubnetPool | undefined, had: IpPrefix | undefined, before: IpPrefix | undefined) => {
      if (pool === undefined) return undefined;
      const subnet = chooseOwnSubnet(pool, had, before, taken, random());
      if (subnet === undefined) throw this.#error('acquire', nodeName, 'no subnet is free', formatPrefix(pool.network));
      return subnet;
    };
    const subnet = choose(subnetPool(config), own?.subnet, previous.subnet);
    const ipv6Subnet = choose(ipv6SubnetPool(config), own?.ipv6Subnet, previous.ipv6Subnet);
    return { ...attributes, ...(subnet && { subnet }), ...(ipv6Subnet && { ipv6Subnet }) };
  }

  /** Why all nodes refuse the lease (the length of its subnets is not the configured one); undefined when they accept it. */
  #refusalOf({ subnet, ipv6Subnet }: Lease): string | undefined {
    for (const prefix of [subnet, ipv6Subnet]) {
      const problem = prefix && findLengthProblem(this.#pools, prefix);
      if (problem !== undefined) return problem;
    }
    return undefined;
  }

  /** The snapshot with refused leases turned into problems; the same object for the same snapshot. */
  #fit(all: LeaseSnapshot): LeaseSnapshot {
    if (this.#fitting?.all === all) return this.#fitting.snapshot;
    const refused: PeerProblem[] = [];
    for (const [key, lease] of all.leases) {
      const reason = this.#refusalOf(lease);
      if (reason !== undefined) refused.push({ key, reason });
    }
    if (refused.length === 0) return all;
    const leases = new Map(all.leases);
    for (const { key } of refused) leases.delete(key);
    const snapshot = { ...all, leases, problems: [...all.problems, ...refused] };
    this.#fitting = { all, snapshot };
    return snapshot;
  }

  /** After a failure (no file descriptor left, for instance) no event says when it is over, so the next read comes sooner. */
  #nextLookMs(hasLooked: boolean, isListening: boolean): number {
    const { periodMs } = this.#options;
    const lookMs = isListening ? periodMs : DEAF_MS;
    return Math.min(periodMs, hasLooked ? lookMs : FAILED_MS, this.#restoreInMs());
  }

  /** Rejects with OpError `lost` when another node has our subnet: only a restart helps then. */
  async watch(onSnapshot: (snapshot: LeaseSnapshot) => void, signal: AbortSignal): Promise<void> {
    const { dir, periodMs } = this.#options;
    const bell = new Bell();
    let told: LeaseSnapshot | undefined;
    let changed = new Set<string>();
    let completeAt = Number.NEGATIVE_INFINITY;
    const onEvent = (name: string | undefined): void => {
      if (name === undefined) completeAt = Number.NEGATIVE_INFINITY;
      else changed.add(name);
      bell.ring();
    };
    let stopListening: (() => void) | undefined;
    try {
      while (!signal.aborted) {
        // Listening starts before reading, so that no change between the two is missed. It starts again every time, because another
        // directory may have taken the name. The old watch is closed only when the new one is open.
        const stopBefore = stopListening;
        stopListening = listen(dir, onEvent);
        stopBefore?.();
        const restoredAt = this.#restoredAt;
        const began = steadyMs();
        const complete = stopListening === undefined || began - completeAt >= periodMs;
        const names = changed;
        changed = new Set();
        if (complete) completeAt = began;
        const snapshot = await this.#look(complete ? undefined : names);
        const lookMs = steadyMs() - began;
        if (snapshot === undefined) completeAt = Number.NEGATIVE_INFINITY; // the read failed, so read everything next time
        if (this.#restoredAt !== restoredAt) bell.ring(); // writing may have made a new directory that is not listened to yet
        const fit = snapshot && this.#fit(snapshot);
        if (fit && fit !== told && !signal.aborted) {
          told = fit;
          onSnapshot(fit);
        }
        await bell.wait(this.#nextLookMs(snapshot !== undefined, stopListening !== undefined), signal);
        await sleepUnlessAborted(Math.min(Math.max(SETTLE_MS, lookMs), LONGEST_SETTLE_MS), signal);
      }
    } finally {
      stopListening?.();
    }
  }

  /**
   * Reads the directory and restores our own lease. Returns undefined when it cannot; then the last snapshot stays. Rejects
   * with OpError `lost` when another node has our subnet.
   */
  async #look(changed: ReadonlySet<string> | undefined): Promise<LeaseSnapshot | undefined> {
    const { dir } = this.#options;
    try {
      let snapshot = await (this.#own === undefined ? this.#dir.read(changed) : this.#readOrEmpty(changed));
      if (await this.#restoreOwn(snapshot)) snapshot = await this.#dir.read();
      this.#failures.recovered('read', { dir }, 'lease directory is readable again');
      return snapshot;
    } catch (error) {
      if (error instanceof OpError && error.code === 'lost') throw error;
      this.#failures.failed('read', error, { dir }, 'lease directory cannot be used');
      return undefined;
    }
  }

  /** Returns true when it wrote the lease file. A subnet that another node took meanwhile is given up. */
  async #restoreOwn(snapshot: LeaseSnapshot): Promise<boolean> {
    const { dir, nodeName } = this.#options;
    const own = this.#own;
    this.#restoreDue = undefined;
    if (own === undefined || this.#isClaiming) return false;
    const present = snapshot.leases.get(nodeName);
    const text = renderLeaseFile(own);
    if (present !== undefined && renderLeaseFile(present) === text) return false;
    const rival = findRival(this.#fit(snapshot), nodeName, own, this.#dir.createdOf(nodeName));
    if (rival !== undefined) {
      const detail = `the subnet is now leased to ${rival}; a restart takes another subnet, existing pods keep their addresses`;
      throw this.#error('keep lease', showSubnets(own), 'lost', detail);
    }
    this.#restoreDue = Math.max(steadyMs(), this.#restoredAt + RESTORE_MS);
    if (this.#restoreInMs() > 0) return false;
    this.#restoreDue = undefined;
    this.#restoredAt = steadyMs();
    await writeLeaseFile(dir, nodeName, text);
    const was =
      present === undefined
        ? 'it was missing or unreadable'
        : 'it was changed, perhaps by another agent with this node name';
    this.#restores.failed('own', was, { lease: showSubnets(own), file: leaseFileName(nodeName) }, 'own lease restored');
    return true;
  }

  /** Time until the lease may be restored again; Infinity when nothing is to be restored. */
  #restoreInMs(): number {
    return this.#restoreDue === undefined ? Number.POSITIVE_INFINITY : Math.max(0, this.#restoreDue - steadyMs());
  }

  troubles(): readonly StoreTrouble[] {
    return this.#troubles.list();
  }

  async release(): Promise<void> {
    this.#own = undefined;
    await removeLeaseFile(this.#options.dir, this.#options.nodeName);
  }

  #error(op: string, object: string, code: string, detail: string): OpError {
    return new OpError({ subsystem: 'leases', op, object, code, detail });
  }
}

/** Whether our previous lease file already had these subnets; then no other node can have claimed them. */
function keepsSubnets(before: Lease | undefined, lease: Lease): boolean {
  if (before === undefined) return false;
  return sameOrBothAbsent(before.subnet, lease.subnet) && sameOrBothAbsent(before.ipv6Subnet, lease.ipv6Subnet);
}

function sameOrBothAbsent(a: IpPrefix | undefined, b: IpPrefix | undefined): boolean {
  return a === undefined || b === undefined ? a === b : samePrefix(a, b);
}

/** The node whose lease overlaps ours. Leases younger than `created` do not count, since the older one keeps the subnet. */
function findRival(
  { leases }: LeaseSnapshot,
  nodeName: string,
  own: Lease,
  created?: string | undefined,
): string | undefined {
  for (const [node, lease] of leases) {
    if (node === nodeName || !claimSame(own, lease)) continue;
    if (created === undefined || isElder(node, lease, nodeName, { created })) return node;
  }
  return undefined;
}

/** The age of a lease. */
type Age = { readonly created?: string | undefined };

function isElder(node: string, { created }: Age, than: string, own: Age): boolean {
  return byCreation({ key: node, created }, { key: than, created: own.created }) < 0;
}

function prefixesOf(leases: readonly (readonly [string, Lease])[]): IpPrefix[] {
  return leases.flatMap(([, { subnet, ipv6Subnet }]) => [subnet, ipv6Subnet]).filter((prefix) => prefix !== undefined);
}

function showSubnets({ subnet, ipv6Subnet }: Lease): string {
  return [subnet, ipv6Subnet].flatMap((prefix) => (prefix ? [formatPrefix(prefix)] : [])).join(' ');
}
