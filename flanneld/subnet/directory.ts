// The embedded store: one lease file a node in a directory that all agents of one machine share. Level-triggered: a
// watch says when to look and at which files, who came or went is seen at every look, and a period, at which all is
// read, makes a lost event harmless.

import { setTimeout as sleep } from 'node:timers/promises';
import { backoffMs } from '../../lib/backoff.ts';
import { OpError } from '../../lib/errors.ts';
import type { IpPrefix } from '../../lib/ip.ts';
import { formatPrefix, overlaps, samePrefix } from '../../lib/ip.ts';
import type { NetConf } from '../../lib/net-conf.ts';
import { nodeErrorCode } from '../../lib/node-error-node.ts';
import type { SubnetPool } from '../../lib/subnet-pool.ts';
import { ipv6SubnetPool, subnetPool } from '../../lib/subnet-pool.ts';
import type { FailureLog, Logger } from '../health/log.ts';
import { createFailureLog } from '../health/log.ts';
import { Bell, listen, sleepUnlessAborted } from './bell.ts';
import { chooseSubnet } from './choose-subnet.ts';
import { LeaseDir, leaseFileName, removeLeaseFile, writeLeaseFile } from './lease-dir.ts';
import { renderLeaseFile } from './lease-file.ts';
import type { Lease, LeaseAttributes, LeaseSnapshot, SubnetManager } from './manager.ts';
import { readNetConfFile } from './net-conf-file.ts';

export interface DirectoryOptions {
  readonly dir: string;
  /** A valid node name; names the lease file. */
  readonly nodeName: string;
  readonly netConfigPath: string;
  /** What subnet.env said before this start: taken again when the lease file is lost and nobody else has it. */
  readonly previous: { readonly subnet?: IpPrefix | undefined; readonly ipv6Subnet?: IpPrefix | undefined };
  readonly log: Logger;
  /** 0 ≤ r < 1. */
  readonly random: () => number;
  /** How often every file is looked at without any event, in ms. */
  readonly periodMs: number;
}

/**
 * Events come in bursts (temporary file, rename); one look after the burst is enough. Where a look takes longer there
 * are thousands of leases: then the pause is as long as the look, so that looking takes half of the time at most.
 */
const settleMs = 20;
const longestSettleMs = 500;
/** A lease that somebody keeps removing is restored no more often than this. */
const restoreMs = 1000;
const claimAttempts = 20;
const nobody: LeaseSnapshot = { leases: new Map(), problems: [] };
const claimBackoff = { firstMs: 20, capMs: 500, jitter: 0.9 };

/** The store in `dir`; nothing is read or written before the first call. */
export function createDirectoryManager(options: DirectoryOptions): SubnetManager {
  return new DirectoryManager(options);
}

class DirectoryManager implements SubnetManager {
  readonly #options: DirectoryOptions;
  readonly #failures: FailureLog;
  readonly #dir: LeaseDir;
  /** This node's lease as it must stand in the directory; undefined before acquire and after release. */
  #own: Lease | undefined;
  /** A lease is being taken: what stands in the directory meanwhile is neither the old one nor wrong. */
  #isClaiming = false;
  #restoredAt = Number.NEGATIVE_INFINITY;
  #restoreDue: number | undefined;

  constructor(options: DirectoryOptions) {
    this.#options = options;
    this.#dir = new LeaseDir(options.dir, options.nodeName);
    this.#failures = createFailureLog(options.log);
  }

  networkConfig(): Promise<NetConf> {
    return readNetConfFile(this.#options.netConfigPath, this.#options.log);
  }

  /**
   * A claim is a file of ours; it holds when no other lease overlaps it after it was written. Two agents that claim the
   * same subnet at one moment cannot both miss the other: who sees a rival gives way and tries again.
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
    for (let attempt = 1; attempt <= claimAttempts; attempt++) {
      signal.throwIfAborted();
      const before = await this.#readOrEmpty();
      const lease = this.#choose(attributes, config, before);
      await writeLeaseFile(dir, nodeName, renderLeaseFile(lease));
      const rival = keepsSubnets(before.leases.get(nodeName), lease)
        ? undefined
        : findRival(await this.#dir.read(), nodeName, lease);
      if (rival === undefined) {
        this.#own = lease;
        return lease;
      }
      await removeLeaseFile(dir, nodeName);
      this.#options.log.debug({ lease: showSubnets(lease), rival }, 'lost a race for a subnet');
      await sleep(backoffMs(claimBackoff, attempt, this.#options.random()), undefined, { signal });
    }
    throw this.#error('acquire', nodeName, 'lost race', `${claimAttempts} times`);
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
    const own = leases.get(nodeName);
    const others = [...leases].filter(([node]) => node !== nodeName).map(([, lease]) => lease);
    const taken = others.flatMap((lease) => [lease.subnet, lease.ipv6Subnet]).filter((prefix) => prefix !== undefined);
    const choose = (pool: SubnetPool | undefined, wanted: readonly (IpPrefix | undefined)[]): IpPrefix | undefined => {
      if (pool === undefined) return undefined;
      const subnet = chooseSubnet(pool, wanted, taken, random());
      if (subnet === undefined) throw this.#error('acquire', nodeName, 'out of subnets', formatPrefix(pool.network));
      return subnet;
    };
    const subnet = choose(subnetPool(config), [own?.subnet, previous.subnet]);
    const ipv6Subnet = choose(ipv6SubnetPool(config), [own?.ipv6Subnet, previous.ipv6Subnet]);
    return { ...attributes, ...(subnet && { subnet }), ...(ipv6Subnet && { ipv6Subnet }) };
  }

  /** Rejects with OpError `lost` when somebody else has our subnet: then nothing but a restart helps. */
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
        // Listening starts before reading, so that no change falls between the two; and anew every time, because the
        // directory may have been replaced by another of the same name. The old ear closes when the new one is open.
        const stopBefore = stopListening;
        stopListening = listen(dir, onEvent);
        stopBefore?.();
        const restoredAt = this.#restoredAt;
        const began = performance.now();
        const complete = stopListening === undefined || began - completeAt >= periodMs;
        const names = changed;
        changed = new Set();
        if (complete) completeAt = began;
        const snapshot = await this.#look(complete ? undefined : names);
        const lookMs = performance.now() - began;
        if (snapshot === undefined) completeAt = Number.NEGATIVE_INFINITY; // what changed was not seen
        if (this.#restoredAt !== restoredAt) bell.ring(); // the directory may be new, and nobody listens to it yet
        if (snapshot && snapshot !== told && !signal.aborted) {
          told = snapshot;
          onSnapshot(snapshot);
        }
        await bell.wait(Math.min(periodMs, this.#restoreInMs()), signal);
        await sleepUnlessAborted(Math.min(Math.max(settleMs, lookMs), longestSettleMs), signal);
      }
    } finally {
      stopListening?.();
    }
  }

  /**
   * Reads the directory and puts our own lease right; undefined (and the last snapshot stays) when it cannot. Rejects with
   * OpError `lost` when somebody else has our subnet.
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

  /** True when the directory was changed. A subnet that somebody else took meanwhile is lost, not fought for. */
  async #restoreOwn(snapshot: LeaseSnapshot): Promise<boolean> {
    const { dir, nodeName } = this.#options;
    const own = this.#own;
    this.#restoreDue = undefined;
    if (own === undefined || this.#isClaiming) return false;
    const present = snapshot.leases.get(nodeName);
    const text = renderLeaseFile(own);
    if (present !== undefined && renderLeaseFile(present) === text) return false;
    const rival = findRival(snapshot, nodeName, own);
    if (rival !== undefined) {
      const detail = `now the lease of ${rival}; a restart takes another subnet, existing pods keep the old`;
      throw this.#error('keep lease', showSubnets(own), 'lost', detail);
    }
    this.#restoreDue = Math.max(performance.now(), this.#restoredAt + restoreMs);
    if (this.#restoreInMs() > 0) return false;
    this.#restoreDue = undefined;
    this.#restoredAt = performance.now();
    await writeLeaseFile(dir, nodeName, text);
    const was = present === undefined ? 'missing or unreadable' : 'changed, by another agent of this node name?';
    this.#failures.failed('own', was, { lease: showSubnets(own), file: leaseFileName(nodeName) }, 'own lease restored');
    return true;
  }

  /** Time until the lease may be restored again; Infinity when nothing is to be restored. */
  #restoreInMs(): number {
    return this.#restoreDue === undefined
      ? Number.POSITIVE_INFINITY
      : Math.max(0, this.#restoreDue - performance.now());
  }

  async release(): Promise<void> {
    this.#own = undefined;
    await removeLeaseFile(this.#options.dir, this.#options.nodeName);
  }

  #error(op: string, object: string, code: string, detail: string): OpError {
    return new OpError({ subsystem: 'leases', op, object, code, detail });
  }
}

/** Whether the file that lay there already gave us these subnets: then nobody can have claimed them since. */
function keepsSubnets(before: Lease | undefined, lease: Lease): boolean {
  if (before === undefined) return false;
  return sameOrBothAbsent(before.subnet, lease.subnet) && sameOrBothAbsent(before.ipv6Subnet, lease.ipv6Subnet);
}

function sameOrBothAbsent(a: IpPrefix | undefined, b: IpPrefix | undefined): boolean {
  return a === undefined || b === undefined ? a === b : samePrefix(a, b);
}

/** The node whose lease overlaps ours. */
function findRival({ leases }: LeaseSnapshot, nodeName: string, own: Lease): string | undefined {
  for (const [node, lease] of leases) {
    if (node === nodeName) continue;
    if (own.subnet && lease.subnet && overlaps(own.subnet, lease.subnet)) return node;
    if (own.ipv6Subnet && lease.ipv6Subnet && overlaps(own.ipv6Subnet, lease.ipv6Subnet)) return node;
  }
  return undefined;
}

function showSubnets({ subnet, ipv6Subnet }: Lease): string {
  return [subnet, ipv6Subnet].flatMap((prefix) => (prefix ? [formatPrefix(prefix)] : [])).join(' ');
}
