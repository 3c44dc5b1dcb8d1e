// What the two flavours of the agent's packet filter have in common.

import type { Netfilter } from '../../lib/netfilter/connection.ts';
import type { RulesetEvent } from '../../lib/netfilter/ruleset-event.ts';
import type { Check } from '../health/http-server.ts';
import type { FirewallStatus, GuardMode } from '../health/status/report.ts';
import type { GuardedLease } from './peer-sets.ts';
import type { FirewallConfig } from './rules.ts';
import type { TunnelConfig } from './tunnel-rules.ts';

export interface FirewallOptions {
  readonly families: readonly Omit<FirewallConfig, 'fullyRandom'>[];
  /** `fully-random` is wanted; it is used where the kernel takes it. */
  readonly fullyRandom: boolean;
  /** Undefined in tests that are about something else. */
  readonly tunnel?: TunnelWish;
}

/** What the shield and the guard are about; whether the kernel can do all of it is found out later. */
export interface TunnelWish extends Omit<TunnelConfig, 'guard'> {
  readonly guard: GuardMode;
  /** UDP port of the tunnel; undefined without one that can be guarded. */
  readonly port: number | undefined;
  readonly isVxlan: boolean;
  /** Leases by key, as they are now; another map after every change. */
  readonly leases: () => ReadonlyMap<string, GuardedLease>;
  readonly netfilter: Netfilter;
}

/** The rules of every enabled family. */
export interface Firewall {
  /** Reads, compares, changes; resolves to whether anything had to be changed. Rejects with OpError. */
  ensure(): Promise<boolean>;
  /**
   * Follows the leases, where that is a small change of what was right. Returns whether anything was changed, undefined
   * where only `ensure` can do it.
   */
  followLeases(): boolean | undefined;
  status(): FirewallStatus;
  /** What an operator should know, beyond whether `ensure` succeeds. */
  checks(): readonly Check[];
  /** Whether `ensure` has to look even when nothing of nftables has changed: at iptables-legacy, or as it put it off. */
  mustLook(): boolean;
  /** Whether a change of the rule set is about something of ours. */
  isConcerned(event: RulesetEvent): boolean;
}
