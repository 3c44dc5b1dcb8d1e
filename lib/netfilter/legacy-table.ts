// Reads the rules of iptables-legacy: whether they have changed, and what takes part in the packet filter. The kernel sends no events about
// them and shows them only by getsockopt(2) on an IP socket, which needs NET_ADMIN (linux/netfilter/x_tables.h,
// linux/netfilter_ipv4/ip_tables.h, linux/netfilter_ipv6/ip6_tables.h). A table is one block of rules, in which jumps are offsets.

import type { Family } from '../ip.ts';
import type { Slot } from '../sys/arena.ts';
import { closeFd } from '../sys/file.ts';
import { openSocket } from '../sys/socket.ts';
import type { Syscalls } from '../sys/syscalls.ts';

const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_DGRAM = 2;
const SOL_IP = 0;
const SOL_IPV6 = 41;
/** The same for both families (IPT_BASE_CTL, IP6T_BASE_CTL). */
const GET_INFO = 64;
const GET_ENTRIES = 65;

/** struct ipt_getinfo: name, u32 valid_hooks, u32 hook_entry[5], u32 underflow[5], u32 num_entries, u32 size. */
const NAME = 32;
const VALID_HOOKS = 32;
const HOOK_ENTRY = 36;
const UNDERFLOW = 56;
/** Hook names by their NF_INET_ number. */
const hookNames = ['PREROUTING', 'INPUT', 'FORWARD', 'OUTPUT', 'POSTROUTING'] as const;
const HOOKS = hookNames.length;
const ATTEMPTS = 5;
const INFO_SIZE = 80;
const INFO = 84;
/** struct ipt_get_entries: name, u32 size, and the rules at the next multiple of eight. */
const ENTRIES = 40;
/**
 * struct ipt_entry begins with the addresses and devices that it matches. Then follow u32 nfcache, u16 target_offset, u16 next_offset, u32
 * comefrom, and the counters at the next multiple of eight, u64 packets and u64 bytes.
 */
const MATCH: Record<Family, number> = { 4: 84, 6: 136 };
const OFFSETS = 4;
const COMEFROM = 8;
const LEAST_ENTRY: Record<Family, number> = { 4: 112, 6: 168 };
/** struct xt_entry_target: u16 size, char name[29], u8 revision; then its data. For a verdict or a jump the name is empty. */
const TARGET = 32;
const ERROR_NAME = 30;
/** A table of this size has about 15,000 rules. For a larger table only the size is compared. */
const LIMIT = 4 * 1024 * 1024;
/** The code of the verdict DROP in a rule: -NF_DROP - 1. */
const DROP = -1;

export interface LegacyChain {
  readonly name: (typeof hookNames)[number];
  /** NF_INET_ number. */
  readonly hook: number;
  /** Whether it drops packets that no rule decides. */
  readonly drops: boolean;
  readonly rules: readonly LegacyRule[];
}

export interface LegacyRule {
  /** The chain that it leads to; undefined when it leads to none. */
  readonly jump: string | undefined;
  /** Whether it can do anything besides leading to a chain and counting: it has a verdict or a target. */
  readonly acts: boolean;
}

/**
 * The built-in chains of a table with their rules; empty when there is no such table. As with `legacyRules`, ask only for tables that
 * exist. Throws SysError without a socket, and RangeError when the table is too large to be read or changes again and again.
 */
export function legacyChains(sys: Syscalls, family: Family, table: string): LegacyChain[] {
  const fd = openSocket(sys, family === 4 ? AF_INET : AF_INET6, SOCK_DGRAM, 0);
  try {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const chains = sys.arena.scope(() => tryLegacyChains(sys, fd, family, table));
      if (chains !== undefined) return chains;
    }
    throw new RangeError(`iptables-legacy: table ${table}: it changes all the time`);
  } finally {
    closeFd(sys, fd);
  }
}

/** Undefined when somebody has changed the table between the two questions. */
function tryLegacyChains(sys: Syscalls, fd: number, family: Family, table: string): LegacyChain[] | undefined {
  const info = ask(sys, fd, family, GET_INFO, table, INFO);
  if (info === undefined) return [];
  const size = info.u32(INFO_SIZE);
  if (size > LIMIT)
    throw new RangeError(`iptables-legacy: table ${table}: ${size} bytes, at most ${LIMIT} can be read`);
  const entries = ask(sys, fd, family, GET_ENTRIES, table, ENTRIES + size, size);
  if (entries === undefined) return undefined;
  const valid = info.u32(VALID_HOOKS);
  const places = hookNames.flatMap((name, hook) =>
    (valid & (1 << hook)) === 0
      ? []
      : [{ name, hook, first: info.u32(HOOK_ENTRY + 4 * hook), policy: info.u32(UNDERFLOW + 4 * hook) }],
  );
  return chainsAt(entries.bytes(ENTRIES), family, places);
}

/** Where a built-in chain begins, and where its last entry is, which decides about all other packets. */
export interface ChainPlace {
  readonly name: LegacyChain['name'];
  readonly hook: number;
  readonly first: number;
  readonly policy: number;
}

/** Exported for tests. */
export function chainsAt(block: Uint8Array, family: Family, places: readonly ChainPlace[]): LegacyChain[] {
  const entries = [...entriesOf(block, family)];
  const chains = new Map<number, string>();
  for (const { end, chainName } of entries) if (chainName !== undefined) chains.set(end, chainName);
  return places.map(({ name, hook, first, policy }) => ({
    name,
    hook,
    drops: entries.some(({ start, verdict }) => start === policy && verdict === DROP),
    rules: entries
      .filter(({ start }) => start >= first && start < policy)
      .map(({ jump, end }) => {
        // A rule without a target continues with the next rule.
        const isJump = jump !== undefined && jump.to !== end;
        return { jump: isJump ? (chains.get(jump.to) ?? '?') : undefined, acts: jump === undefined };
      }),
  }));
}

/**
 * Returns bytes that are the same as long as the rules are the same, whatever their counters say; empty when there is no such
 * table. Rules in chains for whose name `isIgnored` is true are left out. The kernel makes a table that it does not have, so ask
 * only for those in /proc/net/ip_tables_names.
 */
export function legacyRules(
  sys: Syscalls,
  family: Family,
  table: string,
  isIgnored: (chain: string) => boolean,
): Uint8Array {
  const fd = openSocket(sys, family === 4 ? AF_INET : AF_INET6, SOCK_DGRAM, 0);
  try {
    return sys.arena.scope(() => {
      const info = ask(sys, fd, family, GET_INFO, table, INFO);
      if (info === undefined) return new Uint8Array();
      const size = info.u32(INFO_SIZE);
      if (size > LIMIT) return info.bytes().slice();
      const hooks = Array.from({ length: HOOKS }, (_, n) => info.u32(HOOK_ENTRY + 4 * n));
      const entries = ask(sys, fd, family, GET_ENTRIES, table, ENTRIES + size, size);
      // Somebody has changed the table between the two calls. The next read will show the difference.
      if (entries === undefined) return info.bytes().slice();
      return withoutCounters(entries.bytes(ENTRIES), family, hooks, isIgnored);
    });
  } finally {
    closeFd(sys, fd);
  }
}

function ask(
  sys: Syscalls,
  fd: number,
  family: Family,
  option: number,
  table: string,
  length: number,
  size = 0,
): Slot | undefined {
  const answer = sys.arena.alloc(length);
  answer.set(sys.arena.encode(table.slice(0, NAME - 1)));
  answer.setU32(NAME, size);
  const room = sys.arena.alloc(4);
  room.setU32(0, length);
  const level = family === 4 ? SOL_IP : SOL_IPV6;
  const code = sys.call(sys.nr.getsockopt, fd, level, option, answer.address, room.address);
  return code < 0 ? undefined : answer;
}

/** Exported for tests. The kernel has checked these bytes, but nothing is read outside them in any case. */
export function withoutCounters(
  block: Uint8Array,
  family: Family,
  hooks: readonly number[],
  isIgnored: (chain: string) => boolean,
): Uint8Array {
  const entries = [...entriesOf(block, family)];
  const chains = new Map<number, string>();
  for (const { end, chainName } of entries) if (chainName !== undefined) chains.set(end, chainName);
  const kept = new Uint8Array(block.length);
  const jumps: string[] = [];
  let chain = '';
  let at = 0;
  for (const entry of entries) {
    const { start, end, jump } = entry;
    if (hooks.includes(start)) chain = '';
    chain = entry.chainName ?? chain;
    if (isIgnored(chain)) continue;
    kept.set(block.subarray(start, end), at);
    const fields = at + MATCH[family];
    kept.fill(0, fields, fields + OFFSETS).fill(0, fields + COMEFROM, at + LEAST_ENTRY[family]);
    if (jump !== undefined) {
      kept.fill(0, at + jump.at, at + jump.at + 4);
      // A rule without a target continues with the next rule.
      jumps.push(jump.to === end ? '' : (chains.get(jump.to) ?? '?'));
    }
    at += end - start;
  }
  const names = Uint8Array.from(jumps.join('\n'), (letter) => letter.charCodeAt(0));
  const all = new Uint8Array(at + names.length);
  all.set(kept.subarray(0, at));
  all.set(names, at);
  return all;
}

interface Entry {
  readonly start: number;
  readonly end: number;
  /** Set if it is the head of a chain and not a rule. */
  readonly chainName: string | undefined;
  /** The verdict about the packet; undefined for a named target and for a jump. */
  readonly verdict: number | undefined;
  /** Where the entry has an offset, and the offset's value. */
  readonly jump: { readonly at: number; readonly to: number } | undefined;
}

function* entriesOf(block: Uint8Array, family: Family): Generator<Entry> {
  const view = new DataView(block.buffer, block.byteOffset, block.byteLength);
  const least = LEAST_ENTRY[family];
  for (let start = 0; start + least <= block.length; ) {
    const target = view.getUint16(start + MATCH[family] + OFFSETS, true);
    const next = view.getUint16(start + MATCH[family] + OFFSETS + 2, true);
    const data = start + target + TARGET;
    if (next < least + TARGET || start + next > block.length || data + 4 > start + next) return;
    const name = text(block.subarray(start + target + 2, data - 1));
    const verdict = name === '' ? view.getInt32(data, true) : undefined;
    const isJump = verdict !== undefined && verdict >= 0;
    yield {
      start,
      end: start + next,
      chainName: name === 'ERROR' ? text(block.subarray(data, data + ERROR_NAME)) : undefined,
      verdict: isJump ? undefined : verdict,
      jump: isJump ? { at: target + TARGET, to: verdict } : undefined,
    };
    start += next;
  }
}

function text(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return String.fromCharCode(...bytes.subarray(0, end < 0 ? bytes.length : end));
}
