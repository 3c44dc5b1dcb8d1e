// The etcd store in flannel's v3 layout, so that both agents can share one cluster. The agent renews its lease all the time, where flannel
// renews it once a day. It restores the lease when somebody removes it, and never loses it silently.

import { backoffMs } from '../../../lib/backoff.ts';
import { steadyMs } from '../../../lib/clock-node.ts';
import { ConfigError, OpError } from '../../../lib/errors.ts';
import { formatPrefix } from '../../../lib/ip.ts';
import type { NetConf } from '../../../lib/net-conf.ts';
import { parseNetConf } from '../../../lib/net-conf.ts';
import { ipv6SubnetPool, type SubnetPool, subnetPool } from '../../../lib/subnet-pool.ts';
import type { FailureLog, Logger } from '../../health/log.ts';
import { createFailureLog } from '../../health/log.ts';
import type { PeerProblem } from '../../health/peer-problem.ts';
import { type StoreTrouble, StoreTroubles } from '../../health/store-troubles.ts';
import { Bell, sleepUnlessAborted } from '../bell.ts';
import { type Heartbeat, heartbeatMs, keepAsking } from '../heartbeat.ts';
import type { Lease, LeaseAttributes, LeaseSnapshot, SubnetManager } from '../manager.ts';
import { runTogether } from '../watching.ts';
import type { Claim, ClaimContext } from './claim.ts';
import { claimSubnets, findOverlap, hasSameOwner, prefixesOf, refusalOf } from './claim.ts';
import { EtcdError } from './etcd-error.ts';
import { changedAt, createdAt, putOperation } from './etcd-json.ts';
import type { GatewayOptions } from './gateway.ts';
import { EtcdGateway } from './gateway.ts';
import { EtcdMirror } from './key-mirror.ts';
import { formatLeaseKey } from './lease-key.ts';

export interface EtcdManagerOptions extends GatewayOptions {
  /** flannel's `--etcd-prefix`: `/coreos.com/network`. */
  readonly prefix: string;
  readonly previous: ClaimContext['previous'];
  /** The lease this node wrote in an earlier run. */
  readonly earlier: Lease | undefined;
  readonly log: Logger;
  /** 0 ≤ r < 1. */
  readonly random: () => number;
  /** How long a lease outlives its agent; a day with flannel. */
  readonly ttlSec: number;
  readonly watchLifeMs: number;
  /** Called with the text of every valid configuration. */
  readonly onNetConf?: (text: string) => void;
}

/** The lease lives for a day after its agent has ended, as flannel's does at least. */
export const etcdDefaults = { timeoutMs: 4000, ttlSec: 86_400, watchLifeMs: 5 * 60_000 };

/** flannel's value of a lease has no field for the key, and a value with more fields would not be flannel's any more. */
const NO_MOVE =
  'a cluster with its leases in etcd cannot move node by node: remove the key, and set Type for all nodes at once';

const retry = { firstMs: 200, capMs: 2000, jitter: 0.5 };
const CONFIG_RETRY_MS = 1000;
/** How often this node's own lease is compared without an event. */
const LOOK_MS = 60_000;
/** Changes come in bursts; one snapshot after the burst is enough. */
const SETTLE_MS = 20;
/** The shortest time between two restorations of a lease that somebody keeps changing. */
const RESTORE_MS = 1000;

/** The store in etcd; nothing is read or written before the first call. */
export function createEtcdManager(options: EtcdManagerOptions): SubnetManager {
  return new EtcdManager(options);
}

class EtcdManager implements SubnetManager {
  readonly #options: EtcdManagerOptions;
  readonly #gateway: EtcdGateway;
  readonly #prefix: string;
  readonly #configKey: string;
  readonly #mirror: EtcdMirror;
  readonly #troubles = new StoreTroubles();
  readonly #failures: FailureLog;
  /** Logs restorations. They are not troubles of the store, because they are over when they are logged. */
  readonly #restores: FailureLog;
  readonly #bell = new Bell();
  #config: NetConf | undefined;
  /** The ranges from which subnets are taken; empty before the configuration is known. */
  #pools: readonly (SubnetPool | undefined)[] = [];
  /** This node's lease as it must be in etcd; undefined before acquire and after release. */
  #own: Claim | undefined;
  /** Whether the etcd lease of our key is gone, even if the key is still there. */
  #isLeaseDead = false;
  #restoredAt = Number.NEGATIVE_INFINITY;
  /** Whether a lease is being taken; meanwhile the watch reports our own changes. */
  #isClaiming = false;

  constructor(options: EtcdManagerOptions) {
    this.#options = options;
    this.#gateway = new EtcdGateway(options);
    const root = options.prefix.replace(/\/+$/, '');
    this.#prefix = `${root}/subnets/`;
    this.#configKey = `${root}/config`;
    const { log, random, watchLifeMs } = options;
    const reading = { gateway: this.#gateway, prefix: this.#prefix, log, troubles: this.#troubles };
    this.#mirror = new EtcdMirror({ ...reading, random, watchLifeMs });
    this.#failures = this.#troubles.failureLog(log);
    this.#restores = createFailureLog(log);
  }

  /** Waits for etcd and for the key; rejects with ConfigError when the configuration is wrong. */
  async networkConfig(signal: AbortSignal): Promise<NetConf> {
    const key = this.#configKey;
    for (;;) {
      signal.throwIfAborted();
      try {
        const kv = await this.#gateway.get(key, signal);
        if (kv === undefined) throw noConfig(key);
        this.#config = this.#parseConfig(key, kv.value);
        this.#options.onNetConf?.(kv.value);
        this.#failures.recovered('config', { key }, 'network configuration found');
        return this.#config;
      } catch (error) {
        if (signal.aborted || error instanceof ConfigError) throw error;
        this.#failures.failed('config', error, { key }, 'no network configuration yet, will retry');
      }
      await sleepUnlessAborted(CONFIG_RETRY_MS, signal);
    }
  }

  #parseConfig(key: string, text: string): NetConf {
    const { config, warnings } = parseNetConf(text);
    for (const warning of warnings)
      this.#options.log.warn({ key, warning }, 'network configuration has a key that is unknown or has no effect');
    this.#pools = [subnetPool(config), ipv6SubnetPool(config)];
    return config;
  }

  /** Waits for etcd; rejects when no subnet is free. */
  async acquire(attributes: LeaseAttributes, signal: AbortSignal): Promise<Lease> {
    if (attributes.moveData !== undefined) throw new ConfigError('net-conf', 'Backend.MoveTo', NO_MOVE);
    const config = this.#config ?? (await this.networkConfig(signal));
    this.#isClaiming = true;
    try {
      return await this.#claim(attributes, config, signal);
    } finally {
      this.#isClaiming = false;
    }
  }

  async #claim(attributes: LeaseAttributes, config: NetConf, signal: AbortSignal): Promise<Lease> {
    for (let attempt = 1; ; attempt++) {
      signal.throwIfAborted();
      try {
        const claim = await claimSubnets(this.#claimContext(config), attributes, signal);
        this.#own = claim;
        this.#isLeaseDead = false;
        this.#failures.recovered('acquire', { lease: claim.name }, 'lease taken');
        this.#bell.ring();
        return claim.lease;
      } catch (error) {
        if (signal.aborted || !(error instanceof EtcdError)) throw error;
        this.#failures.failed('acquire', error, {}, 'no lease yet, will retry');
      }
      await sleepUnlessAborted(backoffMs(retry, attempt, this.#options.random()), signal);
    }
  }

  #claimContext(config: NetConf): ClaimContext {
    const { previous, earlier, ttlSec, random, log } = this.#options;
    const gateway = this.#gateway;
    return {
      gateway,
      prefix: this.#prefix,
      config,
      previous,
      earlier: this.#own?.lease ?? earlier,
      ttlSec,
      random,
      log,
    };
  }

  /** Rejects with OpError `lost` when another node has our subnet: only a restart helps then. */
  async watch(onSnapshot: (snapshot: LeaseSnapshot) => void, signal: AbortSignal): Promise<void> {
    await runTogether(
      [
        (ending) => this.#mirror.run(this.#bell.ring, ending),
        (ending) => this.#keepAlive(ending),
        (ending) => this.#tell(onSnapshot, ending),
      ],
      signal,
    );
  }

  async #tell(onSnapshot: (snapshot: LeaseSnapshot) => void, signal: AbortSignal): Promise<void> {
    let told = 0;
    while (!signal.aborted) {
      if (this.#mirror.version !== told) {
        told = this.#mirror.version;
        onSnapshot(this.#snapshot());
      }
      const dueMs = await this.#putRight(signal);
      await this.#bell.wait(dueMs, signal);
      await sleepUnlessAborted(SETTLE_MS, signal);
    }
  }

  #snapshot(): LeaseSnapshot {
    const leases = new Map<string, Lease>();
    const problems: PeerProblem[] = [];
    for (const { name, subnets, lease, problem } of this.#mirror.entries.values()) {
      const refusal = refusalOf(this.#pools, subnets);
      if (refusal !== undefined) problems.push({ key: name, reason: refusal });
      else if (lease !== undefined) leases.set(name, lease);
      else if (problem !== undefined) problems.push(problem);
    }
    const { earlier } = this.#options;
    const ownKey = this.#own?.name ?? (earlier && formatLeaseKey(earlier));
    return { leases, problems, ...(ownKey !== undefined && { ownKey }) };
  }

  /** Restores our own lease; returns when to check again, in ms. */
  async #putRight(signal: AbortSignal): Promise<number> {
    const own = this.#own;
    if (own === undefined || this.#isClaiming || this.#mirror.revision < own.revision) return LOOK_MS;
    const entry = this.#mirror.entries.get(own.name);
    if (entry?.kv.value === own.value && !this.#isLeaseDead) return LOOK_MS;
    // The subnet is lost only if another node created the key again. A node that only wrote over our key came later, so ours is restored.
    const isOthers = entry?.lease !== undefined && !hasSameOwner(entry.lease, own.lease);
    if (isOthers && entry.kv.createRevision !== own.created) throw lost(own, own.name);
    const fitting = [...this.#mirror.entries.values()].filter(({ subnets }) => !refusalOf(this.#pools, subnets));
    const rival = entry === undefined ? findOverlap(fitting, own.name, own.lease) : undefined;
    if (rival !== undefined) throw lost(own, rival.name);
    const waitMs = this.#restoredAt + RESTORE_MS - steadyMs();
    if (waitMs > 0) return waitMs;
    this.#restoredAt = steadyMs();
    try {
      await this.#restore(own, entry?.kv.modRevision, signal);
      this.#failures.recovered('restore', {}, 'own lease is restored');
    } catch (error) {
      if (signal.aborted) return 0;
      this.#failures.failed('restore', error, { lease: own.name }, 'own lease cannot be restored, will retry');
    }
    return RESTORE_MS;
  }

  async #restore(own: Claim, seen: bigint | undefined, signal: AbortSignal): Promise<void> {
    const key = this.#prefix + own.name;
    const isReservation = own.leaseId === '0';
    const leaseId = isReservation ? '0' : await this.#gateway.grantLease(this.#options.ttlSec, signal);
    const compare = seen === undefined ? createdAt(key, 0n) : changedAt(key, seen);
    const revision = await this.#gateway.transact(key, [compare], [putOperation(key, own.value, leaseId)], signal);
    if (revision === undefined) {
      if (!isReservation) await this.#gateway.revokeLease(leaseId, signal);
      return; // the key changed meanwhile; the watch reports how
    }
    const created = seen === undefined ? revision : own.created;
    if (this.#own === own) this.#own = { ...own, leaseId, revision, created };
    this.#isLeaseDead = false;
    const was =
      seen === undefined
        ? 'it was revoked, has expired or was deleted'
        : 'it was changed, perhaps by another agent with this address';
    this.#restores.failed('own', was, { lease: own.name }, 'own lease restored');
  }

  /**
   * Renews the lease, and thereby notices that etcd is silent. Differs from flannel (D13), where a failure ends the renewals: here
   * it is retried.
   */
  async #keepAlive(signal: AbortSignal): Promise<void> {
    const { random, ttlSec } = this.#options;
    const heartbeat: Heartbeat = {
      ask: () => this.#renew(signal),
      onAnswer: () => this.#failures.recovered('keepalive', {}, 'etcd answers again, the lease is kept alive'),
      onFailure: (error) => this.#failures.failed('keepalive', error, {}, this.#unanswered()),
      everyMs: () => Math.min((ttlSec * 1000) / 3, heartbeatMs(this.#mirror.entries.size)),
      retry,
      random,
    };
    await keepAsking(heartbeat, signal);
  }

  #unanswered(): string {
    return this.#leased() === undefined ? 'etcd cannot be asked, will retry' : 'lease cannot be kept alive, will retry';
  }

  /** This node's lease, if it has to be renewed: a reservation never ends. */
  #leased(): Claim | undefined {
    const own = this.#own;
    return own === undefined || own.leaseId === '0' || this.#isLeaseDead ? undefined : own;
  }

  async #renew(signal: AbortSignal): Promise<void> {
    const own = this.#leased();
    if (own === undefined) {
      await this.#gateway.get(this.#configKey, signal);
      return;
    }
    const leftSec = await this.#gateway.keepLeaseAlive(own.leaseId, signal);
    if (leftSec > 0 || this.#own !== own) return;
    this.#isLeaseDead = true;
    this.#bell.ring();
  }

  troubles(): readonly StoreTrouble[] {
    return this.#troubles.list();
  }

  /** Deletes the lease; a reservation stays. */
  async release(signal: AbortSignal): Promise<void> {
    const own = this.#own;
    this.#own = undefined;
    if (own !== undefined && own.leaseId !== '0') await this.#gateway.revokeLease(own.leaseId, signal);
  }
}

function noConfig(key: string): OpError {
  const detail =
    'flannel config not found in etcd store. Did you create your config using etcdv3 API? ' +
    `Try: etcdctl put ${key} '{"Network":"10.244.0.0/16","Backend":{"Type":"vxlan"}}'`;
  return new OpError({ subsystem: 'etcd', op: 'range', object: key, code: 'no such key', detail });
}

/** Differs from flannel, which exits with 0 here. An error makes the supervisor start the agent again. */
function lost({ lease }: Claim, rival: string): OpError {
  const object = prefixesOf(lease).map(formatPrefix).join(' ');
  const detail = `the subnet is now leased to another node (${rival}); a restart takes another subnet, existing pods keep their addresses`;
  return new OpError({ subsystem: 'etcd', op: 'keep lease', object, code: 'lost', detail });
}
