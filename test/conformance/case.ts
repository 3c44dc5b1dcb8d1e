// What a conformance case is: one row of the contract, tried on an executable that may be anybody's.

import type { Trial } from './trial.ts';
import type { CniVersion } from './versions.ts';

export const pluginNames = ['flannel', 'bridge', 'host-local', 'loopback', 'portmap', 'bandwidth'] as const;
export type PluginName = (typeof pluginNames)[number];

/** `chain` cases do what a runtime does with a list of plugins; they need a driver (driver.ts). */
export type Subject = PluginName | 'chain';

/** What the machine must have; machine.ts finds out. */
export type Need = 'vlan-filtering' | 'no-vlan-filtering' | 'nft' | 'iptables' | 'ifb' | 'ipv6';

/**
 * Releases of the reference plugins the cases were tried on, oldest first: the last flannel in
 * containernetworking/plugins, Debian 12's plugins, and what came after 1.9.1.
 */
export const releases = ['0.9.1', '1.1.1', 'main'] as const;
export type Release = (typeof releases)[number];

/** Where we behave otherwise on purpose. */
export interface Difference {
  /** Why, in one sentence. */
  readonly reason: string;
  /** What the reference does instead; absent = it is not tried on the reference. */
  readonly reference?: Check;
}

/** Throws a CaseFailure (expect.ts) when the executable does not do what the row says. */
export type Check = (trial: Trial) => Promise<void>;

export interface Case {
  /** The row's number and, where one row became several cases, a letter. A case of several plugins adds `@plugin`. */
  readonly id: string;
  /** Rows of the contract this case stands for; empty for a case of our own. */
  readonly numbers: readonly number[];
  /** A sentence of behaviour. */
  readonly title: string;
  readonly plugin: Subject;
  /** First CNI version in which this can be asked: an executable that does not speak it is not asked. */
  readonly since: CniVersion;
  readonly needs: readonly Need[];
  readonly differs?: Difference;
  /** Oldest of the releases known that behaves so; older ones are not asked. */
  readonly referenceFrom?: Release;
  readonly check: Check;
}

/** A row as its file writes it: what is the same for most has a default. */
export interface Row {
  readonly id: string;
  readonly title: string;
  readonly since?: CniVersion;
  readonly needs?: readonly Need[];
  readonly differs?: Difference;
  readonly referenceFrom?: Release;
  /** A case of our own, beyond the contract's rows. */
  readonly own?: boolean;
  readonly check: Check;
}

/** The rows as cases of one plugin. */
export function casesOf(plugin: Subject, rows: readonly Row[]): Case[] {
  return rows.map((row) => toCase(plugin, row, row.id));
}

/** The rows once for each plugin: what the protocol demands of every executable. */
export function casesOfEach(plugins: readonly PluginName[], rows: readonly Row[]): Case[] {
  return plugins.flatMap((plugin) => rows.map((row) => toCase(plugin, row, `${row.id}@${plugin}`)));
}

function toCase(plugin: Subject, { own, ...row }: Row, id: string): Case {
  const numbers = own === true ? [] : [Number.parseInt(row.id, 10)];
  return { since: '0.3.1', needs: [], ...row, id, numbers, plugin };
}
