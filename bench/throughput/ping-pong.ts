// One end of a ping-pong over UDP: the client sends, waits for the answer, and sends again. This shows best how much time a path takes,
// because nothing can be batched. It sleeps in recvfrom, like the programs that pods run. Its argument is a PingPongSpec. The
// server prints `ready`, the client a PingPongResult.

import { createHistogram } from 'node:perf_hooks';
import { openKoffiSyscalls } from '../../lib/sys/koffi.ts';
import { openSocket, SOL_SOCKET } from '../../lib/sys/socket.ts';
import { check } from '../../lib/sys/sys-error.ts';

export interface PingPongSpec {
  readonly role: 'client' | 'server';
  readonly local: string;
  /** The server's address. Only a client has one. */
  readonly to?: string;
  readonly milliseconds?: number;
}

export interface PingPongResult {
  readonly rounds: number;
  /** The median of the round trips, and their 99 % quantile. Without any the value is NaN, which is null in JSON. */
  readonly p50Us: number;
  readonly p99Us: number;
  /** Requests that were not answered in time. */
  readonly lost: number;
  readonly milliseconds: number;
}

const AF_INET = 2;
const SOCK_DGRAM = 2;
const SO_RCVTIMEO = 20;
const SOCKADDR_BYTES = 16;
const PORT = 9058;
const PAYLOAD_BYTES = 64;
const ANSWER_TIMEOUT_US = 100_000;
const MAX_BYTES = 2048;
const NS_PER_MS = 1e6;
const NS_PER_US = 1000;

const sys = openKoffiSyscalls();

function main({ role, local, to, milliseconds = 500 }: PingPongSpec): void {
  const fd = openSocket(sys, AF_INET, SOCK_DGRAM, 0);
  const own = address(local, role === 'server' ? PORT : 0);
  check(sys.call(sys.nr.bind, fd, own.address, own.length), 'bind', local);
  const buffer = sys.arena.alloc(MAX_BYTES);
  if (role === 'server') serve(fd, buffer.address);
  else if (to === undefined) throw new Error('a client needs somebody to send to');
  else process.stdout.write(`${JSON.stringify(ask(fd, buffer.address, to, milliseconds))}\n`);
}

/** Answers requests until the process is killed. */
function serve(fd: number, buffer: number): never {
  const from = sys.arena.alloc(SOCKADDR_BYTES);
  const fromLength = sys.arena.alloc(4);
  process.stdout.write('ready\n');
  for (;;) {
    fromLength.setU32(0, SOCKADDR_BYTES);
    const length = sys.call(sys.nr.recvfrom, fd, buffer, MAX_BYTES, 0, from.address, fromLength.address);
    if (length > 0) sys.call(sys.nr.sendto, fd, buffer, length, 0, from.address, SOCKADDR_BYTES);
  }
}

function ask(fd: number, buffer: number, to: string, milliseconds: number): PingPongResult {
  const timeout = sys.arena.alloc(16);
  timeout.setU64(8, ANSWER_TIMEOUT_US);
  check(
    sys.call(sys.nr.setsockopt, fd, SOL_SOCKET, SO_RCVTIMEO, timeout.address, timeout.length),
    'set',
    'SO_RCVTIMEO',
  );
  const server = address(to, PORT);
  // A histogram, because tens of thousands of round trips are too many to keep and to sort.
  const taken = createHistogram({ figures: 3 });
  let lost = 0;
  // The first exchange sets up neighbours and the flow, so it is not counted.
  exchange(fd, buffer, server.address);
  const start = performance.now();
  let now = start;
  while (now - start < milliseconds) {
    const answered = exchange(fd, buffer, server.address);
    const before = now;
    now = performance.now();
    if (answered) taken.record(Math.max(1, Math.round((now - before) * NS_PER_MS)));
    else lost += 1;
  }
  const [p50Us, p99Us] = [50, 99].map((share) => taken.percentile(share) / NS_PER_US);
  return {
    rounds: taken.count,
    p50Us: p50Us ?? Number.NaN,
    p99Us: p99Us ?? Number.NaN,
    lost,
    milliseconds: now - start,
  };
}

function exchange(fd: number, buffer: number, to: number): boolean {
  if (sys.call(sys.nr.sendto, fd, buffer, PAYLOAD_BYTES, 0, to, SOCKADDR_BYTES) < 0) return false;
  return sys.call(sys.nr.recvfrom, fd, buffer, MAX_BYTES, 0, 0, 0) > 0;
}

/** struct sockaddr_in: u16 family, u16 port and u32 address in network order. */
function address(ip: string, port: number) {
  const slot = sys.arena.alloc(SOCKADDR_BYTES);
  slot.setU16(0, AF_INET);
  slot.setU8(2, port >> 8);
  slot.setU8(3, port & 0xff);
  for (const [index, byte] of ip.split('.').entries()) slot.setU8(4 + index, Number(byte));
  return slot;
}

main(JSON.parse(process.argv[2] ?? '') as PingPongSpec);
