// Finds the rule that refuses a packet by watching packets (`nft monitor trace`). Reading the rules would not do, because they have
// sets, jumps and marks. A table of ours exists for a moment. It counts each packet at the hook forward and after all other rules,
// where it drops it, and makes the kernel report the rules that the packet meets.

import type { Clock } from '../../../lib/clock-node.ts';
import { formatIp, ipFromBytes } from '../../../lib/ip.ts';
import { NF_DROP, NFNLGRP_NFTRACE, readTraceEvent, type TraceEvent } from '../../../lib/netfilter/trace-event.ts';
import { NETLINK_NETFILTER } from '../../../lib/netlink/constants.ts';
import type { Syscalls } from '../../../lib/sys/syscalls.ts';
import { keepWatching } from '../../dataplane/keep-watching.ts';
import type { Nft } from '../../firewall/nft-program.ts';
import type { Logger } from '../../health/log.ts';
import type { Addresses } from './inject.ts';
import { PROBE_PORT, PROBE_SOURCE_PORT } from './packet.ts';

export interface TraceTools {
  readonly sys: Syscalls;
  readonly nft: Nft;
  readonly log: Logger;
  readonly clock: Clock;
  /** The name of the table, where it is not the agent's. */
  readonly traceTable?: string;
}

/** What happened to a packet. */
export interface Fate {
  /** Whether the packet reached the hook forward. */
  readonly isForwarded: boolean;
  /** Whether it passed all rules. */
  readonly hasPassed: boolean;
  readonly refusedBy: Refusal | undefined;
}

/** The rule that refused it; without a handle it was the policy of the chain. */
export type Refusal = Pick<TraceEvent, 'family' | 'table' | 'chain' | 'handle'>;

/** The name of the agent's table. */
const TRACE_TABLE = 'weft_trace';
/** The table of `flanneld doctor path`. */
export const PATH_TABLE = 'weft_path';
/** The table of `flanneld doctor`. */
export const DOCTOR_TABLE = 'weft_doctor';
/** Tables that exist for a moment, and stay only when the process is killed in it. */
export const MOMENTARY_TABLES: readonly string[] = [TRACE_TABLE, PATH_TABLE, DOCTOR_TABLE];
/** How long to wait for the kernel's report. */
const LISTEN_MS = 150;

/**
 * Calls `inject`, which sends the packets (each from another source), and returns what happened to each. Rejects with OpError. The table is
 * removed in any case.
 */
export async function traceFates(
  packets: readonly Addresses[],
  inject: () => void,
  tools: TraceTools,
): Promise<Fate[]> {
  const { nft, clock, traceTable: table = TRACE_TABLE } = tools;
  const refusals = new Refusals();
  const watch = keepWatching(tools, {
    protocol: NETLINK_NETFILTER,
    groups: [NFNLGRP_NFTRACE],
    onMessage(message) {
      const event = readTraceEvent(message);
      if (event !== undefined) refusals.see(event);
    },
    onOverflow: () => undefined,
  });
  try {
    await nft.apply(traceScript(table, packets));
    inject();
    await new Promise<void>((resolve) => void clock.after(LISTEN_MS, resolve));
    const counted = countedIn((await nft.list('inet', table)) ?? '{"nftables":[]}');
    return packets.map(({ from }, n) => ({
      isForwarded: counted.has(`seen${n}`),
      hasPassed: counted.has(`passed${n}`),
      refusedBy: refusals.of(formatIp(from)),
    }));
  } finally {
    await nft.apply(noTable(table)).catch(() => undefined);
    await watch.close();
  }
}

/** Which rule dropped a packet, by the packet's source. */
export class Refusals {
  readonly #sources = new Map<number, string>();
  readonly #refusals = new Map<string, Refusal>();

  see({ id, packet, verdict, family, table, chain, handle }: TraceEvent): void {
    const from = packet === undefined ? undefined : sourceOf(packet);
    if (from !== undefined) this.#sources.set(id, from);
    const source = this.#sources.get(id);
    if (source === undefined || verdict !== NF_DROP || MOMENTARY_TABLES.includes(table) || this.#refusals.has(source))
      return;
    this.#refusals.set(source, { family, table, chain, ...(handle !== undefined && { handle }) });
  }

  of(source: string): Refusal | undefined {
    return this.#refusals.get(source);
  }
}

/** The source address in the IP header (RFC 791, RFC 8200). */
function sourceOf(packet: Uint8Array): string | undefined {
  const isV4 = (packet[0] ?? 0) >> 4 === 4;
  const bytes = isV4 ? packet.subarray(12, 16) : packet.subarray(8, 24);
  return bytes.length === (isV4 ? 4 : 16) ? formatIp(ipFromBytes(bytes)) : undefined;
}

/** Removes the table, whether or not it is there. */
function noTable(table: string): string {
  return `table inet ${table}\ndelete table inet ${table}\n`;
}

function traceScript(table: string, packets: readonly Addresses[]): string {
  const matches = packets.map(({ from, to }) => {
    const ip = to.family === 4 ? 'ip' : 'ip6';
    const ports = `udp sport ${PROBE_SOURCE_PORT} udp dport ${PROBE_PORT}`;
    return `${ip} saddr ${formatIp(from)} ${ip} daddr ${formatIp(to)} ${ports}`;
  });
  const chain = (name: string, hook: string, priority: number, rule: (n: number) => string): string => {
    const rules = matches.map((match, n) => `    ${match} ${rule(n)}\n`).join('');
    return `  chain ${name} {\n    type filter hook ${hook} priority ${priority}; policy accept;\n${rules}  }\n`;
  };
  return [
    `${noTable(table)}table inet ${table} {\n`,
    ...packets.map((_, n) => `  counter seen${n} { }\n  counter passed${n} { }\n`),
    chain('first', 'prerouting', -400, () => 'meta nftrace set 1'),
    chain('before', 'forward', -2_147_483_648, (n) => `counter name seen${n}`),
    // The packet is dropped at the end, because nobody should receive it.
    chain('last', 'postrouting', 2_147_483_647, (n) => `counter name passed${n} drop`),
    '}\n',
  ].join('');
}

/** Names of the counters that are not zero. Throws SyntaxError when the text is not nft's JSON. */
function countedIn(listing: string): ReadonlySet<string> {
  const { nftables } = JSON.parse(listing) as { nftables: { counter?: { name?: string; packets?: number } }[] };
  return new Set(nftables.flatMap(({ counter }) => ((counter?.packets ?? 0) > 0 ? [counter?.name ?? ''] : [])));
}
