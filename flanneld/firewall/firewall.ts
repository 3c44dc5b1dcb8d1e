// What the two flavours of the agent's packet filter have in common.

import type { RulesetEvent } from '../../lib/netfilter/ruleset-event.ts';
import type { Check } from '../health/http-server.ts';
import type { FirewallStatus } from '../health/status/report.ts';
import type { FirewallConfig } from './rules.ts';

export interface FirewallOptions {
  readonly families: readonly Omit<FirewallConfig, 'fullyRandom'>[];
  /** `fully-random` is wanted; it is used where the kernel takes it. */
  readonly fullyRandom: boolean;
}

/** The rules of every enabled family. */
export interface Firewall {
  /** Reads, compares, changes; resolves to whether anything had to be changed. Rejects with OpError. */
  ensure(): Promise<boolean>;
  status(): FirewallStatus;
  /** What an operator should know, beyond whether `ensure` succeeds. */
  checks(): readonly Check[];
  /** Whether `ensure` has to look even when nothing of nftables has changed: at iptables-legacy, or as it put it off. */
  mustLook(): boolean;
  /** Whether a change of the rule set is about something of ours. */
  isConcerned(event: RulesetEvent): boolean;
}
