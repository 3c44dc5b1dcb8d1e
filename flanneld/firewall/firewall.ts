// The interface that both flavours of the agent's packet filter share.

import type { Netfilter } from '../../lib/netfilter/netfilter-socket.ts';
import type { RulesetEvent } from '../../lib/netfilter/ruleset-event.ts';
import type { Check } from '../health/http-server.ts';
import type { FirewallStatus, GuardMode } from '../health/status/report.ts';
import type { GuardedLease } from './peer-sets.ts';
import type { FirewallConfig } from './rules.ts';
import type { TunnelConfig } from './tunnel-rules.ts';

export interface FirewallOptions {
  readonly families: readonly Omit<FirewallConfig, 'fullyRandom'>[];
  /** Whether `fully-random` is wanted; it is used only if the kernel supports it. */
  readonly fullyRandom: boolean;
  /** Undefined only in tests about something else. */
  readonly tunnel?: TunnelWish;
}

/** What the shield and the guard need. Whether the kernel supports all of it is found out later. */
export interface TunnelWish extends Omit<TunnelConfig, 'guard'> {
  readonly guard: GuardMode;
  /** UDP port of the tunnel; undefined without one that can be guarded. */
  readonly port: number | undefined;
  readonly isVxlan: boolean;
  /** The present leases by key. Returns another map after every change. */
  readonly leases: () => ReadonlyMap<string, GuardedLease>;
  readonly netfilter: Netfilter;
}

/** The rules of every enabled family. */
export interface Firewall {
  /** Reads, compares and changes; resolves to whether it changed anything. Rejects with OpError. */
  ensure(): Promise<boolean>;
  /**
   * Updates what depends on the leases, if that is a small change to rules that were correct. Returns whether it changed anything;
   * undefined when `ensure` is needed instead.
   */
  followLeases(): boolean | undefined;
  status(): FirewallStatus;
  /** Remarks for the operator, besides errors of `ensure`. */
  checks(): readonly Check[];
  /** Whether `ensure` must run although nftables has not changed: because of iptables-legacy, or to do what it had put off. */
  mustLook(): boolean;
  /** Whether a change of the rule set may concern our rules. */
  isConcerned(event: RulesetEvent): boolean;
}
