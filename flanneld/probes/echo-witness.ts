// Detects whether an ICMP echo was answered. A plain flannel node answers a packet to the broadcast MAC only when it is an echo, and the
// answer goes to this node's kernel, not to a socket of ours. Where the agent has NET_RAW and the package raw-socket, a raw socket sees the
// answer itself. Everywhere else the kernel's counter of echo replies shows it. Reading the counter needs no right, but it also counts
// replies to others.

import { readText } from '../../lib/sys/file.ts';
import type { Syscalls } from '../../lib/sys/syscalls.ts';

export interface EchoWitness {
  /** Whether only answers to our own echoes are counted. */
  readonly isExact: boolean;
  /** The number of answers so far; it may begin at any number. */
  count(): number;
  close(): void;
}

const COUNTERS = {
  4: { file: '/proc/net/snmp', read: (text: string) => ofTable(text, 'Icmp', 'InEchoReps') },
  6: { file: '/proc/net/snmp6', read: (text: string) => ofLines(text, 'Icmp6InEchoReplies') },
} as const;
const MOST_BYTES = 256 * 1024;

/** Counts answers to echoes with the identifier `id`, or to all echoes of this node. */
export async function watchEchoes(sys: Syscalls, family: 4 | 6, id: number): Promise<EchoWitness> {
  return (await openRaw(family, id)) ?? counterOf(sys, family);
}

function counterOf(sys: Syscalls, family: 4 | 6): EchoWitness {
  const { file, read } = COUNTERS[family];
  return { isExact: false, count: () => read(readText(sys, file, MOST_BYTES)), close: () => undefined };
}

/** Two lines: `Icmp: NAME NAME …` and below it `Icmp: VALUE VALUE …`. */
export function ofTable(text: string, table: string, name: string): number {
  const [names = [], values = []] = text
    .split('\n')
    .filter((line) => line.startsWith(`${table}: `))
    .map((line) => line.split(' '));
  return Number(values[names.indexOf(name)] ?? 0);
}

/** `NAME VALUE` in each line. */
export function ofLines(text: string, name: string): number {
  const line = text.split('\n').find((one) => one.startsWith(`${name} `) || one.startsWith(`${name}\t`));
  return Number(line?.split(/\s+/)[1] ?? 0);
}

/** raw-socket's own numbers. */
const RAW = {
  4: { protocol: 1, addressFamily: 1, reply: 0 },
  6: { protocol: 58, addressFamily: 2, reply: 129 },
} as const;
/** Keeps a reference to each open raw socket: without one it would be garbage-collected and report nothing more. */
const inUse = new Set<object>();

/** Undefined without the capability NET_RAW, or without the package. */
async function openRaw(family: 4 | 6, id: number): Promise<EchoWitness | undefined> {
  const { protocol, addressFamily, reply } = RAW[family];
  try {
    const { default: raw } = await import('raw-socket');
    const socket = raw.createSocket({ protocol, addressFamily });
    let seen = 0;
    socket.on('message', (packet: Buffer) => {
      if (isReply(family === 4 ? withoutIpHeader(packet) : packet, reply, id)) seen++;
    });
    socket.on('error', () => undefined);
    inUse.add(socket);
    const close = (): void => {
      inUse.delete(socket);
      socket.close();
    };
    return { isExact: true, count: () => seen, close };
  } catch {
    return undefined;
  }
}

/** A raw IPv4 socket also receives the IP header. */
export function withoutIpHeader(packet: Uint8Array): Uint8Array {
  return packet.subarray(((packet[0] ?? 0) & 0x0f) * 4);
}

/** Whether an ICMP message is an echo reply with that identifier. */
export function isReply(message: Uint8Array, type: number, id: number): boolean {
  return message.length >= 8 && message[0] === type && (message[4] ?? 0) * 256 + (message[5] ?? 0) === id;
}
