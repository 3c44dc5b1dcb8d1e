// Pings from any network namespace of the node: ICMP echo over a raw socket. The socket is opened inside the namespace and used
// from outside, since a socket stays in the namespace in which it was made. RFC 792; raw(7), ip(7).

import { setTimeout as sleep } from 'node:timers/promises';
import { EAGAIN, errnoName } from '../../../lib/sys/errno.ts';
import { closeFd } from '../../../lib/sys/file.ts';
import { inNetns, openNetns } from '../../../lib/sys/netns.ts';
import {
  openSocket,
  POLLIN,
  pollFds,
  receiveDatagram,
  SOCK_NONBLOCK,
  SOCK_RAW,
  setSocketOption,
} from '../../../lib/sys/socket.ts';
import { check } from '../../../lib/sys/sys-error.ts';
import type { Syscalls } from '../../../lib/sys/syscalls.ts';
import type { ProbeAnswer, ProbeRequest } from '../contract.ts';
import { decodeReply, encodeEcho } from './icmp.ts';

const AF_INET = 2;
const IPPROTO_IP = 0;
const IPPROTO_ICMP = 1;
const IP_MTU_DISCOVER = 10;
const IP_PMTUDISC_DONT = 0;
const IP_PMTUDISC_DO = 2;
const SOCKADDR_IN_BYTES = 16;
const RECEIVE_BYTES = 65_536;
/** The time for which the runner's only thread waits for an answer before it does other work. */
const PROMPT_MS = 5;
const LATE_LOOK_MS = 10;

let nextIdentifier = 1;

/** Pings every target once, one after the other. Late answers to all of them are waited for together. */
export async function ping(sys: Syscalls, request: ProbeRequest): Promise<ProbeAnswer[]> {
  const socket = openEchoSocketIn(sys, request.netns, request.dontFragment);
  try {
    const round = new PingRound(sys, socket, request);
    for (const index of request.targets.keys()) round.send(index);
    const deadline = performance.now() + request.timeoutMs;
    while (round.waiting() && performance.now() < deadline) {
      await sleep(LATE_LOOK_MS);
      round.receive(0);
    }
    return round.answers();
  } finally {
    closeFd(sys, socket);
  }
}

class PingRound {
  readonly #sys: Syscalls;
  readonly #socket: number;
  readonly #request: ProbeRequest;
  readonly #identifier: number;
  readonly #sentAt: number[] = [];
  readonly #answers: (ProbeAnswer | undefined)[] = [];

  constructor(sys: Syscalls, socket: number, request: ProbeRequest) {
    this.#sys = sys;
    this.#socket = socket;
    this.#request = request;
    this.#identifier = nextIdentifier;
    nextIdentifier = (nextIdentifier % 0xffff) + 1;
  }

  /** Sends one packet and waits for a moment, so that the time of a quick answer is exact. */
  send(index: number): void {
    const ip = this.#request.targets[index] ?? '';
    const packet = encodeEcho(this.#identifier, index, this.#request.payloadBytes);
    this.#sentAt[index] = performance.now();
    const sent = sendTo(this.#sys, this.#socket, ip, packet);
    if (sent < 0) this.#answers[index] = { ip, failure: sendFailure(-sent) };
    const until = performance.now() + PROMPT_MS;
    while (this.#answers[index] === undefined && performance.now() < until) this.receive(PROMPT_MS);
  }

  /** Reads everything that has arrived, after waiting for `waitMs` at most. */
  receive(waitMs: number): void {
    for (
      let packet = receiveFrom(this.#sys, this.#socket, waitMs);
      packet;
      packet = receiveFrom(this.#sys, this.#socket, 0)
    ) {
      const reply = decodeReply(packet);
      if (reply?.identifier !== this.#identifier) continue;
      const { sequence, failure } = reply;
      const ip = this.#request.targets[sequence];
      if (ip === undefined || this.#answers[sequence] !== undefined) continue;
      const rttMs = performance.now() - (this.#sentAt[sequence] ?? 0);
      this.#answers[sequence] = failure === undefined ? { ip, rttMs } : { ip, failure };
    }
  }

  waiting(): boolean {
    return this.#request.targets.some((_, index) => this.#answers[index] === undefined);
  }

  answers(): ProbeAnswer[] {
    const failure = `no answer in ${this.#request.timeoutMs} ms`;
    return this.#request.targets.map((ip, index) => this.#answers[index] ?? { ip, failure });
  }
}

/** Opens the socket inside the namespace at `path`, or in the node's own namespace when `path` is absent. */
function openEchoSocketIn(sys: Syscalls, path: string | undefined, dontFragment: boolean): number {
  if (path === undefined) return openEchoSocket(sys, dontFragment);
  const netns = openNetns(sys, path);
  try {
    return inNetns(sys, netns, () => openEchoSocket(sys, dontFragment));
  } finally {
    closeFd(sys, netns);
  }
}

function openEchoSocket(sys: Syscalls, dontFragment: boolean): number {
  const socket = openSocket(sys, AF_INET, SOCK_RAW | SOCK_NONBLOCK, IPPROTO_ICMP);
  const discover = dontFragment ? IP_PMTUDISC_DO : IP_PMTUDISC_DONT;
  check(setSocketOption(sys, socket, IPPROTO_IP, IP_MTU_DISCOVER, discover), 'set', 'IP_MTU_DISCOVER');
  return socket;
}

/** Returns the number of bytes sent, or −errno. */
function sendTo(sys: Syscalls, socket: number, ip: string, packet: Uint8Array): number {
  return sys.arena.scope(() => {
    const to = sys.arena.alloc(SOCKADDR_IN_BYTES);
    to.setU16(0, AF_INET);
    for (const [index, byte] of ip.split('.').entries()) to.setU8(4 + index, Number(byte));
    const data = sys.arena.copy(packet);
    return sys.call(sys.nr.sendto, socket, data.address, data.length, 0, to.address, to.length);
  });
}

/** Returns one packet with its IP header; undefined when none arrives within `waitMs`. */
function receiveFrom(sys: Syscalls, socket: number, waitMs: number): Uint8Array | undefined {
  if (waitMs > 0) pollFds(sys, [{ fd: socket, events: POLLIN }], waitMs);
  return sys.arena.scope(() => {
    const buffer = sys.arena.buffer(RECEIVE_BYTES);
    const length = receiveDatagram(sys, socket, buffer);
    if (length === -EAGAIN) return undefined;
    check(length, 'receive from', 'ICMP socket');
    return buffer.bytes(0, length).slice();
  });
}

/** Translates errors of sendto into the words of ping(8) and errno(3). */
function sendFailure(errno: number): string {
  const words: Record<string, string> = {
    EMSGSIZE: 'message too long',
    ENETUNREACH: 'network is unreachable',
    EHOSTUNREACH: 'no route to host',
    EPERM: 'operation not permitted',
  };
  const name = errnoName(errno);
  return words[name] === undefined ? name : `${words[name]} (${name})`;
}
