// Port mappings with iptables: for each family the nat table is read by one iptables-save and changed by one iptables-restore, which
// applies everything or nothing.

import type { Family, IpPrefix } from '../../lib/ip.ts';
import { hasChain } from '../../lib/netfilter/nftables.ts';
import type { Netlink } from '../../lib/netlink/connection.ts';
import { readTextIfPresent } from '../../lib/sys/file.ts';
import { findProgram, runProgram } from '../programs.ts';
import { failure } from '../protocol/error.ts';
import type { Invocation } from '../protocol/plugin.ts';
import {
  chainRules,
  containerChain,
  containerOfEntry,
  DNAT_CHAIN,
  entryRules,
  MASQ_CHAIN,
  SETMARK_CHAIN,
  type SharedRule,
  sharedRules,
} from './iptables-rules.ts';
import { mappingsOf, type PortmapConfig } from './portmap-config.ts';
import { withSharedRulesLock } from './shared-rules-lock.ts';

/** The iptables executable: the one that the node calls by that name, or one of its two implementations. */
export type Variant = '' | '-nft' | '-legacy';

/** Another plugin may change the shared chains between reading and writing. */
const ATTEMPTS = 10;

function commandName(family: Family, variant: Variant): string {
  return `ip${family === 4 ? '' : '6'}tables${variant}`;
}

/** The program of this variant, or the node's own if it has no such name. */
function findIptables(invocation: Invocation, family: Family, variant: Variant, verb: string): string | undefined {
  return (
    findProgram(invocation, `${commandName(family, variant)}-${verb}`) ??
    findProgram(invocation, `${commandName(family, '')}-${verb}`)
  );
}

/** The nat table's lines. Throws CniError 999. */
export function saveNat(invocation: Invocation, family: Family, variant: Variant = ''): string[] {
  const name = `${commandName(family, variant)}-save`;
  const path = findIptables(invocation, family, variant, 'save');
  if (path === undefined) throw failure(`${name} is not installed`);
  const run = runProgram(invocation, path, ['-t', 'nat'], '');
  if (!run.ok) throw failure(`${name} does not work: ${run.problem}`);
  return run.stdout.split('\n');
}

/** Applies all statements or none. Returns the problem; undefined when there is none. */
function restoreNat(
  invocation: Invocation,
  family: Family,
  variant: Variant,
  lines: readonly string[],
): string | undefined {
  const name = `${commandName(family, variant)}-restore`;
  const path = findIptables(invocation, family, variant, 'restore');
  if (path === undefined) return `${name} is not installed`;
  const run = runProgram(invocation, path, ['--noflush', '--wait'], `*nat\n${lines.join('\n')}\nCOMMIT\n`);
  return run.ok ? undefined : `${name}: ${run.problem}`;
}

/**
 * Reads, then writes, and repeats both when the write was refused because the table was changed in between. `statements` computes the
 * change from the lines that were read; `first` are these lines where the caller has them already.
 */
function change(
  invocation: Invocation,
  family: Family,
  variant: Variant,
  statements: (saved: readonly string[]) => string[],
  first?: readonly string[],
): void {
  for (let attempt = 1; ; attempt++) {
    const saved = attempt === 1 && first !== undefined ? first : saveNat(invocation, family, variant);
    const lines = statements(saved);
    if (lines.length === 0) return;
    const problem = restoreNat(invocation, family, variant, lines);
    if (problem === undefined) return;
    if (attempt === ATTEMPTS) throw failure(problem);
  }
}

function hasChainLine(saved: readonly string[], chain: string): boolean {
  return saved.some((line) => line.startsWith(`:${chain} `));
}

/** Maps the ports of these containers. Throws CniError 999. */
export function addIptables(invocation: Invocation, config: PortmapConfig, containers: readonly IpPrefix[]): void {
  for (const container of containers) {
    const { family } = container.ip;
    if (mappingsOf(config, family).length === 0) continue;
    const statements = (saved: readonly string[]) => addStatements(invocation, config, container, saved);
    const saved = saveNat(invocation, family);
    if (missingRules(config, saved).length === 0) change(invocation, family, '', statements, saved);
    // iptables-restore of nftables begins again by itself when the table has changed meanwhile, and then takes a chain that exists by now
    // for the one that `-N` should make: only the lock keeps the shared rules from being added twice.
    else withSharedRulesLock(invocation, () => change(invocation, family, '', statements));
  }
}

function missingRules(config: PortmapConfig, saved: readonly string[]): SharedRule[] {
  return sharedRules(config).filter(({ chain, rule }) => !saved.includes(`-A ${chain} ${rule}`));
}

function addStatements(
  invocation: Invocation,
  config: PortmapConfig,
  container: IpPrefix,
  saved: readonly string[],
): string[] {
  const chain = containerChain(invocation, invocation.containerId);
  const lines: string[] = [];
  const ours = sharedRules(config);
  for (const name of [DNAT_CHAIN, SETMARK_CHAIN, MASQ_CHAIN]) {
    const needed = name === DNAT_CHAIN || ours.some((one) => one.chain === name);
    // Not declared by `:name`, which would empty a chain that another plugin has made meanwhile.
    if (needed && !hasChainLine(saved, name)) lines.push(`-N ${name}`);
  }
  for (const { chain: name, rule } of missingRules(config, saved)) {
    // This rule comes first, because the rules of bridge and ptp would match the packet earlier.
    lines.push(name === 'POSTROUTING' ? `-I ${name} 1 ${rule}` : `-A ${name} ${rule}`);
  }
  // Declaring the container's own chain makes or empties it.
  lines.unshift(`:${chain} - [0:0]`);
  lines.push(...chainRules(config, container).map((rule) => `-A ${chain} ${rule}`));
  lines.push(...deleteEntries(saved, chain, DNAT_CHAIN));
  // The rule goes before all others: when two containers claim one port, the later one gets it.
  const entries = entryRules(invocation, config, container).reverse();
  lines.push(...entries.map((rule) => `-I ${DNAT_CHAIN} 1 ${rule}`));
  return lines;
}

function deleteEntries(saved: readonly string[], chain: string, from: string): string[] {
  return saved
    .filter((line) => line.startsWith(`-A ${from} `) && line.endsWith(` -j ${chain}`))
    .map((line) => `-D ${line.slice(3)}`);
}

function removeStatements(chains: readonly string[], saved: readonly string[]): string[] {
  const there = chains.filter((chain) => hasChainLine(saved, chain));
  const entries = there.flatMap((chain) => [
    ...deleteEntries(saved, chain, DNAT_CHAIN),
    ...deleteEntries(saved, chain, 'CNI-HOSTPORT-SNAT'),
  ]);
  return [...entries, ...there.flatMap((chain) => [`-F ${chain}`, `-X ${chain}`])];
}

/** The iptables of one family in one implementation. */
export interface Place {
  readonly family: Family;
  readonly variant: '-nft' | '-legacy';
}

/** The iptables that have mappings of containers: the kernel is asked for the chain in nftables; legacy shows it only in a listing. */
export function placesInUse(invocation: Invocation, netlink: Netlink | undefined, searchLegacy: boolean): Place[] {
  const places: Place[] = [];
  for (const family of [4, 6] as const) {
    const table = { family: family === 4 ? 'ip' : 'ip6', name: 'nat' } as const;
    if (netlink !== undefined && hasChain(netlink, table, DNAT_CHAIN)) places.push({ family, variant: '-nft' });
    if (searchLegacy && usesLegacy(invocation, family)) places.push({ family, variant: '-legacy' });
  }
  return places;
}

/** Those of them that may have mappings of this container. */
export function placesOfContainer(
  invocation: Invocation,
  netlink: Netlink | undefined,
  places: readonly Place[],
): Place[] {
  if (places.length === 0) return [];
  // Computing the name takes a millisecond, because it is a SHA-512.
  const chain = containerChain(invocation, invocation.containerId);
  return places.filter(({ family, variant }) => {
    if (variant === '-legacy' || netlink === undefined) return true;
    return hasChain(netlink, { family: family === 4 ? 'ip' : 'ip6', name: 'nat' }, chain);
  });
}

/** Whether iptables-legacy has a nat table in this namespace. */
function usesLegacy({ sys }: Invocation, family: Family): boolean {
  const names = readTextIfPresent(sys, `/proc/thread-self/net/ip${family === 4 ? '' : '6'}_tables_names`, 4096);
  return names?.split('\n').includes('nat') ?? false;
}

/** Removes the container's chains and the rules that lead to them. Throws CniError 999. */
export function removeIptables(invocation: Invocation, places: readonly Place[]): void {
  if (places.length === 0) return;
  const { containerId } = invocation;
  const chains = [containerChain(invocation, containerId), containerChain(invocation, containerId, 'SN')];
  for (const { family, variant } of places) {
    change(invocation, family, variant, (saved) => removeStatements(chains, saved));
  }
}

/** Removes the chains of the network's containers that are not in `valid`. Throws CniError 999. */
export function collectIptables(invocation: Invocation, { family, variant }: Place, valid: ReadonlySet<string>): void {
  change(invocation, family, variant, (saved) => {
    const lost = new Set<string>();
    for (const line of saved) {
      const id = line.startsWith(`-A ${DNAT_CHAIN} `) ? containerOfEntry(invocation, line) : undefined;
      if (id !== undefined && !valid.has(id)) lost.add(containerChain(invocation, id));
    }
    return removeStatements([...lost], saved);
  });
}

/** Throws CniError 999 when a rule of the container's chain is missing. */
export function checkIptables(invocation: Invocation, config: PortmapConfig, containers: readonly IpPrefix[]): void {
  const chain = containerChain(invocation, invocation.containerId);
  for (const container of containers) {
    const { family } = container.ip;
    const wanted = chainRules(config, container);
    if (wanted.length === 0) continue;
    const saved = saveNat(invocation, family);
    const prefix = `host ports of IPv${family}: `;
    if (!hasChainLine(saved, chain)) throw failure(`${prefix}chain ${chain} not found in iptables table nat`);
    for (const rule of wanted) {
      if (!saved.includes(`-A ${chain} ${rule}`)) {
        throw failure(
          `${prefix}expected rule ${JSON.stringify(rule)} not found in chain ${chain} in iptables table nat`,
        );
      }
    }
  }
}
