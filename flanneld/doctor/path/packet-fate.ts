// Sends test packets and traces what the kernel does with them (`nft monitor trace`): where they are translated, whether they are forwarded
// or delivered, by which device they would leave, and which rule refuses them. A table of ours exists meanwhile. It drops each packet after
// all other rules, so that nobody receives it and no connection is tracked.

import { systemClock } from '../../../lib/clock-node.ts';
import { formatIp, type Ip, ipFromBytes } from '../../../lib/ip.ts';
import { NF_DROP, NFNLGRP_NFTRACE, readTraceEvent, type TraceEvent } from '../../../lib/netfilter/trace-event.ts';
import { NETLINK_NETFILTER } from '../../../lib/netlink/constants.ts';
import { watchEvents } from '../../../lib/netlink/events-node.ts';
import type { Syscalls } from '../../../lib/sys/syscalls.ts';
import type { Nft } from '../../firewall/nft-program.ts';
import type { Transport } from '../../pods/refusal/packet.ts';
import { PATH_TABLE, type Refusal } from '../../pods/refusal/trace.ts';

export interface TestPacket {
  /** Undefined for a packet that this node itself sends. */
  readonly from: Ip | undefined;
  readonly to: Ip;
  readonly transport: Transport;
}

/** What happened to a packet. */
export interface PacketFate {
  /** Whether it reached the first hook of this node. */
  readonly arrived: boolean;
  /** The destination after translation, such as the pod behind a Service. */
  readonly to: Ip;
  readonly port: number;
  readonly isForwarded: boolean;
  /** Whether it passed all rules on its way to a program of this node, or out of the node. */
  readonly isDelivered: boolean;
  readonly hasLeft: boolean;
  /** The source address with which it would leave. */
  readonly source: Ip | undefined;
  /** Index of the device by which it would leave. */
  readonly oif: number | undefined;
  readonly refusedBy: Refusal | undefined;
}

export interface FateTools {
  readonly sys: Syscalls;
  readonly nft: Nft;
}

const NO_TABLE = `table inet ${PATH_TABLE}\ndelete table inet ${PATH_TABLE}\n`;
/** After all other rules (INT_MAX), and before all of them (INT_MIN). */
const LAST = 2_147_483_647;
const FIRST = -2_147_483_648;
/** Before connection tracking, so that the kernel reports every later rule; and after the translation of destinations (−100). */
const BEFORE_ALL = -400;
const AFTER_TRANSLATION = -90;
/** How long to wait for the kernel's reports, and how often to check for them. */
const LISTEN_MS = 600;
const LOOK_MS = 30;

/** Calls `send`, which sends the packets, and returns what happened to each, in their order. Rejects with OpError. */
export async function followPackets(
  packets: readonly TestPacket[],
  send: () => void | Promise<void>,
  { sys, nft }: FateTools,
): Promise<PacketFate[]> {
  const journeys = new Journeys(packets);
  const watch = watchEvents(sys, {
    protocol: NETLINK_NETFILTER,
    groups: [NFNLGRP_NFTRACE],
    onMessage(message) {
      const event = readTraceEvent(message);
      if (event !== undefined) journeys.see(event);
    },
    onOverflow: () => undefined,
    onError: () => undefined,
  });
  try {
    await nft.apply(pathTable(packets));
    await send();
    for (let waited = 0; waited < LISTEN_MS && !journeys.areOver(); waited += LOOK_MS) {
      await watch.settle();
      await new Promise<void>((resolve) => void systemClock.after(LOOK_MS, resolve));
    }
    return packets.map((packet, n) => journeys.fateOf(packet, n));
  } finally {
    await nft.apply(NO_TABLE).catch(() => undefined);
    await watch.close();
  }
}

type Steps = TraceEvent[];

class Journeys {
  readonly #packets: readonly TestPacket[];
  /** The packet that belongs to each id of the kernel, and the steps of each packet. */
  readonly #ids = new Map<number, number>();
  readonly #steps: Steps[];

  constructor(packets: readonly TestPacket[]) {
    this.#packets = packets;
    this.#steps = packets.map(() => []);
  }

  /** The kernel gives a packet another id when it forwards it. Its source port changes only at the very end, if at all. */
  see(event: TraceEvent): void {
    const port = portAt(event, 0);
    const n = this.#ids.get(event.id) ?? this.#packets.findIndex(({ transport }) => transport.sourcePort === port);
    if (n < 0) return;
    this.#ids.set(event.id, n);
    this.#steps[n]?.push(event);
  }

  /** Whether each packet has been dropped, by our last chains or by somebody's rule. */
  areOver(): boolean {
    return this.#steps.every((steps) => steps.some(({ verdict }) => verdict === NF_DROP));
  }

  fateOf(packet: TestPacket, n: number): PacketFate {
    const steps = this.#steps[n] ?? [];
    const ours = (chain: string): TraceEvent | undefined =>
      steps.find((step) => step.table === PATH_TABLE && step.chain.startsWith(chain));
    const translated = ours('translated');
    const end = ours('end_out');
    const foreign = steps.find(({ verdict, table }) => verdict === NF_DROP && table !== PATH_TABLE);
    return {
      arrived: ours('start') !== undefined,
      to: (translated && addressOf(translated, 'destination')) ?? packet.to,
      port: (translated && portAt(translated, 2)) ?? packet.transport.port,
      isForwarded: ours('forward') !== undefined,
      isDelivered: ours('end_in') !== undefined,
      hasLeft: end !== undefined,
      source: end && addressOf(end, 'source'),
      oif: end?.oif,
      refusedBy: foreign && refusalOf(foreign),
    };
  }
}

function refusalOf({ family, table, chain, handle }: TraceEvent): Refusal {
  return { family, table, chain, ...(handle !== undefined && { handle }) };
}

/** Reads an address of the IP header (RFC 791, RFC 8200). */
function addressOf({ packet }: TraceEvent, end: 'source' | 'destination'): Ip | undefined {
  if (packet === undefined) return undefined;
  const isV4 = (packet[0] ?? 0) >> 4 === 4;
  const bytes = isV4 ? 4 : 16;
  const at = (isV4 ? 12 : 8) + (end === 'source' ? 0 : bytes);
  return packet.length < at + bytes ? undefined : ipFromBytes(packet.subarray(at, at + bytes));
}

/** The source port is at 0 and the destination port at 2, both in TCP and in UDP. */
function portAt({ transport }: TraceEvent, at: 0 | 2): number | undefined {
  if (transport === undefined || transport.length < at + 2) return undefined;
  return ((transport[at] ?? 0) << 8) | (transport[at + 1] ?? 0);
}

function pathTable(packets: readonly TestPacket[]): string {
  const starts = packets.map((packet) => `${asSent(packet)} meta nftrace set 1`);
  const drops = packets.flatMap((packet) => [`${asSent(packet)} drop`, `${asTracked(packet)} drop`]);
  const chain = (name: string, hook: string, priority: number, rules: readonly string[]): string =>
    `  chain ${name} {\n    type filter hook ${hook} priority ${priority}; policy accept;\n    ${rules.join('\n    ')}\n  }\n`;
  return [
    `${NO_TABLE}table inet ${PATH_TABLE} {\n`,
    chain('start_in', 'prerouting', BEFORE_ALL, starts),
    chain('start_out', 'output', BEFORE_ALL, starts),
    chain('translated_in', 'prerouting', AFTER_TRANSLATION, []),
    chain('translated_out', 'output', AFTER_TRANSLATION, []),
    chain('forward', 'forward', FIRST, []),
    chain('end_in', 'input', LAST, drops),
    chain('end_out', 'postrouting', LAST, drops),
    '}\n',
  ].join('');
}

function asSent({ from, to, transport: { protocol, sourcePort, port } }: TestPacket): string {
  const ip = to.family === 4 ? 'ip' : 'ip6';
  const source = from === undefined ? '' : `${ip} saddr ${formatIp(from)} `;
  return `${source}${ip} daddr ${formatIp(to)} ${protocol} sport ${sourcePort} ${protocol} dport ${port}`;
}

/**
 * An expression that matches the packet as it was sent, by what connection tracking remembers: addresses and ports may have been translated
 * since.
 */
function asTracked({ to, transport: { protocol, sourcePort, port } }: TestPacket): string {
  const ip = to.family === 4 ? 'ip' : 'ip6';
  const ports = `ct original proto-src ${sourcePort} ct original proto-dst ${port}`;
  return `meta l4proto ${protocol} ct original ${ip} daddr ${formatIp(to)} ${ports}`;
}
