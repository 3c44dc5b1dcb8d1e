// A conformance case is one row of the contract. It can be tried on our executables and on those of others.

import type { Trial } from './trial.ts';
import type { CniVersion } from './versions.ts';

export const pluginNames = ['flannel', 'bridge', 'host-local', 'loopback', 'portmap', 'bandwidth'] as const;
export type PluginName = (typeof pluginNames)[number];

/** What a case is about. `chain` cases do what a runtime does with a list of plugins, and need a driver (driver.ts). */
export type Subject = PluginName | 'chain';

/** What a case needs the machine to have. machine.ts finds out whether it does. */
export type Need = 'vlan-filtering' | 'no-vlan-filtering' | 'nft' | 'iptables' | 'ifb' | 'ipv6';

/**
 * The releases of the reference plugins on which the cases were tried, oldest first: the last one of containernetworking/plugins
 * that contained flannel, Debian 12's plugins, and the development version after 1.9.1.
 */
export const releases = ['0.9.1', '1.1.1', 'main'] as const;
export type Release = (typeof releases)[number];

/** A difference from the reference that we make on purpose. */
export interface Difference {
  /** Why, in one sentence. */
  readonly reason: string;
  /** What the reference does instead. When absent, the case is not tried on the reference. */
  readonly reference?: Check;
}

/** The code of a case. Throws a CaseFailure (expect.ts) when the executable does not do what the row says. */
export type Check = (trial: Trial) => Promise<void>;

export interface Case {
  /** The row's number, followed by a letter where a row has several cases, and by `@plugin` where it is for several plugins. */
  readonly id: string;
  /** The rows of the contract that this case covers; empty for a case of our own. */
  readonly numbers: readonly number[];
  /** A sentence that says how a plugin must behave. */
  readonly title: string;
  readonly plugin: Subject;
  /** The first CNI version in which this behaviour exists. Executables without this version skip the case. */
  readonly since: CniVersion;
  readonly needs: readonly Need[];
  readonly differs?: Difference;
  /** The oldest known release that behaves like this. Older ones skip the case. */
  readonly referenceFrom?: Release;
  readonly check: Check;
}

/** A row as the files of cases write it. Keys that are the same for most rows have a default. */
export interface Row {
  readonly id: string;
  readonly title: string;
  readonly since?: CniVersion;
  readonly needs?: readonly Need[];
  readonly differs?: Difference;
  readonly referenceFrom?: Release;
  /** Whether it is a case of our own, which is not in the contract. */
  readonly own?: boolean;
  readonly check: Check;
}

/** Makes the rows cases of one plugin. */
export function casesOf(plugin: Subject, rows: readonly Row[]): Case[] {
  return rows.map((row) => toCase(plugin, row, row.id));
}

/** Makes the rows cases of each plugin, for everything that the protocol requires of every executable. */
export function casesOfEach(plugins: readonly PluginName[], rows: readonly Row[]): Case[] {
  return plugins.flatMap((plugin) => rows.map((row) => toCase(plugin, row, `${row.id}@${plugin}`)));
}

function toCase(plugin: Subject, { own, ...row }: Row, id: string): Case {
  const numbers = own === true ? [] : [Number.parseInt(row.id, 10)];
  return { since: '0.3.1', needs: [], ...row, id, numbers, plugin };
}
