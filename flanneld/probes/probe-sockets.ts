// The sockets of one address family: they send this node's probes, match answers to them, and answer other agents. One socket is bound to
// the tunnel device's address and one to the node's own, none to the bridge's.

import { connect } from 'node:net';
import type { Clock } from '../../lib/clock-node.ts';
import { formatIp, type Ip, sameIp } from '../../lib/ip.ts';
import type { Mac } from '../../lib/mac.ts';
import { nodeErrorCode } from '../../lib/node-error-node.ts';
import {
  type Arrival,
  type Bounce,
  openUdp,
  portOf,
  readArrivals,
  readBounces,
  realtimeMs,
  type SendOptions,
  sendDatagram,
} from '../../lib/sys/datagram.ts';
import { EADDRINUSE, ECONNREFUSED, errnoName } from '../../lib/sys/errno.ts';
import { type FdWatch, watchFds } from '../../lib/sys/fd-watch-node.ts';
import { closeFd } from '../../lib/sys/file.ts';
import { POLLERR, POLLIN, pollFds } from '../../lib/sys/socket.ts';
import { SysError } from '../../lib/sys/sys-error.ts';
import type { Syscalls } from '../../lib/sys/syscalls.ts';
import type { Ask, Reply } from './ask.ts';
import { EchoAsker } from './ask-echo.ts';
import { echoFrame, type FrameEnd, innerPayloadAt, udpFrame } from './frame.ts';
import { bounceReply } from './icmp-text.ts';
import type { Responder, Way } from './responder.ts';
import { ownVtep, type ProbePlace, type Target } from './target.ts';
import { encodeQuestion, HEADER_BYTES, readAnswer, readQuotedNonce } from './wire.ts';

export interface ProbeSocketTools {
  readonly sys: Syscalls;
  readonly clock: Clock;
  /** Eight random bytes. */
  readonly randomNonce: () => bigint;
}

const WAYS: readonly Way[] = ['tunnel', 'node'];
/** Used where a device has no MAC; no frame is made for it. */
const NO_MAC = '00:00:00:00:00:00' as Mac;

interface Pending {
  readonly way: Way;
  readonly to: Ip;
  readonly port: number;
  /** When it was sent, on the clock of the kernel's time stamps. */
  readonly sentMs: number;
  /** When the wait for the answer ends, on the agent's own clock. */
  readonly untilMs: number;
  readonly settle: (reply: Reply) => void;
}

/** The UDP packet that asks a question. */
interface Packet {
  readonly way: Way;
  readonly to: Ip;
  readonly port: number;
  readonly payload: Uint8Array;
  readonly options?: SendOptions;
}

export class ProbeSockets {
  /** Why this node does not answer the probes of other nodes; undefined when it does. */
  readonly problem: string | undefined;
  /** How often arrived packets are read, in milliseconds; 0 means at once. Where there are many peers, one wake-up then reads several. */
  readEveryMs = 0;
  readonly #place: ProbePlace;
  readonly #port: number;
  readonly #tools: ProbeSocketTools;
  readonly #responder: Responder | undefined;
  readonly #fds: Record<Way, number>;
  readonly #ports: Record<Way, number>;
  readonly #watch: FdWatch;
  readonly #pending = new Map<bigint, Pending>();
  readonly #echoes: EchoAsker;
  /** One timer for all questions, which runs when the first of them times out: a timer for each would cost more. */
  #timer: { readonly atMs: number; readonly cancel: () => void } | undefined;

  /** Opens the sockets; `port` is that of all agents. Other nodes are answered only if there is a `responder`. Throws SysError. */
  constructor(
    place: ProbePlace,
    port: number,
    responder: Responder | undefined,
    tools: ProbeSocketTools,
    onError: (error: unknown) => void,
  ) {
    this.#place = place;
    this.#port = port;
    this.#tools = tools;
    this.#responder = responder;
    this.#echoes = new EchoAsker(tools);
    const { sys } = tools;
    // Without a responder any port will do: this node's agent has the agents' port.
    const wanted = responder === undefined ? 0 : port;
    const tunnel = openFree(sys, place, ownVtep(place), wanted);
    const node = openFree(sys, place, place.local, wanted);
    this.#fds = { tunnel, node };
    this.#ports = { tunnel: portOf(sys, tunnel), node: portOf(sys, node) };
    const taken = responder !== undefined && (this.#ports.tunnel !== port || this.#ports.node !== port);
    this.problem = taken
      ? `UDP port ${port} is in use by another program, so this node does not answer other nodes' probes`
      : undefined;
    try {
      const onReady = (): void => this.#drain();
      this.#watch = watchFds(sys, { fds: [tunnel, node], onReady, onError, everyMs: () => this.readEveryMs });
    } catch (error) {
      closeFd(sys, tunnel);
      closeFd(sys, node);
      throw error;
    }
  }

  async ask(target: Target, ask: Ask, timeoutMs: number): Promise<Reply> {
    if (ask.way === 'tcp') return await askTcp(target.publicIp, this.#place.local, ask.port, timeoutMs);
    if (ask.way === 'echo') return await this.#askEcho(target, ask.mac);
    const nonce = this.#tools.randomNonce();
    return await this.#send(nonce, this.#packetOf(target, ask, nonce), timeoutMs);
  }

  async #askEcho({ vtep, publicIp }: Target, mac: Mac): Promise<Reply> {
    const { family, tunnel } = this.#place;
    const { vni, port } = tunnel;
    if (vni === undefined || port === undefined) return { kind: 'silent' };
    const id = Number(this.#tools.randomNonce() & 0xffffn);
    return await this.#echoes.ask(family, id, (sequence) => {
      const frame = echoFrame(vni, this.#ownEnd(), { mac, ip: vtep }, id, sequence);
      sendDatagram(this.#tools.sys, this.#fds.node, { ip: publicIp, port }, frame);
    });
  }

  #ownEnd(): FrameEnd {
    return { mac: this.#place.mac ?? NO_MAC, ip: ownVtep(this.#place) };
  }

  #packetOf(target: Target, ask: Exclude<Ask, { way: 'tcp' | 'echo' }>, nonce: bigint): Packet {
    const { vni = 0, port: tunnelPort = 0 } = this.#place.tunnel;
    switch (ask.way) {
      case 'tunnel': {
        const { to = target.vtep, port = this.#port, bytes = HEADER_BYTES, ttl, noChecksum = false } = ask;
        const payload = encodeQuestion(nonce, bytes, noChecksum);
        return { way: 'tunnel', to, port, payload, options: { ttl, noChecksum } };
      }
      case 'node': {
        const payload = encodeQuestion(nonce, HEADER_BYTES);
        return { way: 'node', to: target.publicIp, port: ask.port ?? this.#port, payload };
      }
      case 'frame': {
        const ports = { from: this.#ports.tunnel, to: this.#port };
        const question = encodeQuestion(nonce, HEADER_BYTES);
        const payload = udpFrame(vni, this.#ownEnd(), { mac: ask.mac, ip: target.vtep }, ports, question);
        return { way: 'node', to: target.publicIp, port: tunnelPort, payload };
      }
    }
  }

  #send(nonce: bigint, { way, to, port, payload, options }: Packet, timeoutMs: number): Promise<Reply> {
    const { sys, clock } = this.#tools;
    return new Promise((resolve) => {
      const settle = (reply: Reply): void => {
        this.#pending.delete(nonce);
        resolve(reply);
      };
      const untilMs = clock.now() + timeoutMs;
      this.#pending.set(nonce, { way, to, port, sentMs: realtimeMs(sys), untilMs, settle });
      const sent = sendDatagram(sys, this.#fds[way], { ip: to, port }, payload, options);
      if (sent < 0) settle({ kind: 'unsent', code: errnoName(sent) });
      else this.#wakeAt(untilMs);
    });
  }

  #wakeAt(atMs: number): void {
    if (this.#timer !== undefined && this.#timer.atMs <= atMs) return;
    this.#timer?.cancel();
    const { clock } = this.#tools;
    const cancel = clock.after(Math.max(0, atMs - clock.now()), () => {
      this.#timer = undefined;
      this.#giveUp();
    });
    this.#timer = { atMs, cancel };
  }

  /** Settles the questions that have timed out. */
  #giveUp(): void {
    // Packets that have arrived are read first: a busy event loop may have left an answer unread, which is not a loss.
    this.#drain();
    // A timer may run up to a millisecond early.
    const nowMs = this.#tools.clock.now() + 1;
    let nextMs = Infinity;
    for (const { untilMs, settle } of [...this.#pending.values()]) {
      if (untilMs <= nowMs) settle({ kind: 'silent' });
      else nextMs = Math.min(nextMs, untilMs);
    }
    if (nextMs < Infinity) this.#wakeAt(nextMs);
  }

  /** Reads everything that has arrived: errors, answers, and questions from other nodes. */
  #drain(): void {
    const { sys } = this.#tools;
    const { family } = this.#place;
    const ready = pollFds(
      sys,
      WAYS.map((way) => ({ fd: this.#fds[way], events: POLLIN })),
      0,
    );
    for (const [at, way] of WAYS.entries()) {
      const events = ready[at] ?? 0;
      if ((events & POLLERR) !== 0) readBounces(sys, this.#fds[way], family, (bounce) => this.#bounced(bounce, way));
      // Also read after an error: if the kernel had no room to queue the error, it stays on the socket until something is read.
      if (events !== 0) readArrivals(sys, this.#fds[way], family, (arrival) => this.#arrived(arrival, way));
    }
  }

  #arrived(arrival: Arrival, way: Way): void {
    const answer = readAnswer(arrival.payload);
    if (answer === undefined) {
      this.#react(arrival, way);
      return;
    }
    const pending = this.#pending.get(answer.nonce);
    // Only the two nodes know the nonce. This does not protect against somebody who reads packets on the way.
    if (pending === undefined || !this.#isFrom(arrival, pending)) return;
    const rttMs = Math.max(0, arrival.atMs - pending.sentMs - answer.heldMs);
    pending.settle({ kind: 'answered', rttMs, answer });
  }

  /** The answer to a packet made by hand comes from inside the tunnel, so its sender is not the address that was asked. */
  #isFrom({ from }: Arrival, { to, port }: Pending): boolean {
    return sameIp(from, to) || port === this.#place.tunnel.port;
  }

  #react(arrival: Arrival, way: Way): void {
    const { sys } = this.#tools;
    const reaction = this.#responder?.answer(arrival, way, realtimeMs(sys));
    if (reaction === undefined) return;
    const to = { ip: arrival.from, port: arrival.port };
    sendDatagram(sys, this.#fds[way], to, reaction.answer, { noChecksum: reaction.noChecksum });
  }

  #bounced(bounce: Bounce, way: Way): void {
    const inner = bounce.payload.subarray(innerPayloadAt(this.#place.family));
    const nonce = readQuotedNonce(bounce.payload) ?? readQuotedNonce(inner) ?? this.#newestTo(bounce, way);
    const pending = nonce === undefined ? undefined : this.#pending.get(nonce);
    if (pending === undefined) return;
    const rttMs = Math.max(0, bounce.atMs - pending.sentMs);
    const isRefused = bounce.isIcmp && bounce.errno === ECONNREFUSED;
    pending.settle(isRefused ? { kind: 'refused', rttMs, way, by: bounce.by } : bounceReply(bounce, this.#place.local));
  }

  /** Some routers quote so little of a packet that only its destination is known. */
  #newestTo({ to, port }: Bounce, way: Way): bigint | undefined {
    const all = [...this.#pending].filter(([, one]) => one.way === way && one.port === port && sameIp(one.to, to));
    return all.at(-1)?.[0];
  }

  async close(): Promise<void> {
    this.#timer?.cancel();
    for (const { settle } of [...this.#pending.values()]) settle({ kind: 'silent' });
    await this.#watch.close();
  }
}

/** A socket at that port, or at any port when it is taken. */
function openFree(sys: Syscalls, { family }: ProbePlace, address: Ip, port: number): number {
  try {
    return openUdp(sys, { family, address, port });
  } catch (error) {
    if (port === 0 || !(error instanceof SysError) || error.errno !== EADDRINUSE) throw error;
    return openUdp(sys, { family, address, port: 0 });
  }
}

/** A refused connection is an answer too. The peer's kernel does not limit the rate of these, as it does for ICMP errors. */
function askTcp(to: Ip, from: Ip, port: number, timeoutMs: number): Promise<Reply> {
  return new Promise((resolve) => {
    const socket = connect({ host: formatIp(to), localAddress: formatIp(from), port });
    const end = (reply: Reply): void => {
      socket.destroy();
      resolve(reply);
    };
    socket.setTimeout(timeoutMs, () => end({ kind: 'silent' }));
    socket.once('connect', () => end({ kind: 'connected' }));
    socket.once('error', (error) => {
      const code = nodeErrorCode(error) ?? 'error';
      if (code === 'ECONNREFUSED') end({ kind: 'refused', rttMs: 0, way: 'node', by: to });
      else if (code === 'EHOSTUNREACH') end({ kind: 'no-neighbour' });
      else if (code === 'ETIMEDOUT') end({ kind: 'silent' });
      else end({ kind: 'unsent', code });
    });
  });
}
