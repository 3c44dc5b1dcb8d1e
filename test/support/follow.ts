// Following a subnet manager's watch in a test, and waiting for a state of it.

import { onTestFinished } from 'vitest';
import type { Lease, LeaseSnapshot, SubnetManager } from '../../flanneld/subnet/manager.ts';
import { formatIp, formatPrefix } from '../../lib/ip.ts';

export interface Follower {
  readonly snapshots: readonly LeaseSnapshot[];
  /** Settles as the watch does. */
  readonly ended: Promise<void>;
  /** The first snapshot from now on (the latest included) for which `condition` holds. */
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
  ended.catch(() => undefined); // a test that cares awaits it
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

/** `10.244.1.0/24 fd00:1::/64`, `none` without a lease. */
export function subnetsOf(lease: Lease | undefined): string {
  const prefixes = [lease?.subnet, lease?.ipv6Subnet].flatMap((prefix) => (prefix ? [formatPrefix(prefix)] : []));
  return prefixes.join(' ') || 'none';
}

export function publicIpOf(lease: Lease | undefined): string {
  return lease?.publicIp === undefined ? 'none' : formatIp(lease.publicIp);
}
