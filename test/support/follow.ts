// Follows the watch of a subnet manager in a test, and waits until its snapshot fulfils a condition.

import { onTestFinished } from 'vitest';
import type { Lease, LeaseSnapshot, SubnetManager } from '../../flanneld/subnet/manager.ts';
import { formatIp, formatPrefix } from '../../lib/ip.ts';

export interface Follower {
  readonly snapshots: readonly LeaseSnapshot[];
  /** Settles when the watch does. */
  readonly ended: Promise<void>;
  /** Resolves with the first snapshot, from the latest one on, for which `condition` returns true. */
  until(condition: (snapshot: LeaseSnapshot) => boolean): Promise<LeaseSnapshot>;
  stop(): Promise<void>;
}

/** Runs the watch until the test ends. */
export function follow(manager: SubnetManager): Follower {
  const abort = new AbortController();
  const snapshots: LeaseSnapshot[] = [];
  const waiting = new Set<() => void>();
  const ended = manager.watch((snapshot) => {
    snapshots.push(snapshot);
    for (const look of waiting) look();
  }, abort.signal);
  ended.catch(() => undefined); // a test that needs the outcome awaits it
  const stop = async (): Promise<void> => {
    abort.abort();
    await ended.catch(() => undefined);
  };
  onTestFinished(stop);
  const until = (condition: (snapshot: LeaseSnapshot) => boolean): Promise<LeaseSnapshot> =>
    new Promise((resolve) => {
      const look = (): void => {
        const latest = snapshots.at(-1);
        if (latest === undefined || !condition(latest)) return;
        waiting.delete(look);
        resolve(latest);
      };
      waiting.add(look);
      look();
    });
  return { snapshots, ended, until, stop };
}

/** Such as `10.244.1.0/24 fd00:1::/64`; `none` without a lease. */
export function subnetsOf(lease: Lease | undefined): string {
  const prefixes = [lease?.subnet, lease?.ipv6Subnet].flatMap((prefix) => (prefix ? [formatPrefix(prefix)] : []));
  return prefixes.join(' ') || 'none';
}

export function publicIpOf(lease: Lease | undefined): string {
  return lease?.publicIp === undefined ? 'none' : formatIp(lease.publicIp);
}
