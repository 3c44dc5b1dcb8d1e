// The process of one flow. It sends a numbered packet at every tick and reads what arrives, in one thread that sleeps in ppoll(2)
// meanwhile. Both ends are sockets of this process, so they share one clock. When the process did not run for a while, it knows
// this from the time between two wake-ups.

import { readSync, writeSync } from 'node:fs';
import { type Ip, ipToBytes, parseIp } from '../../../lib/ip.ts';
import { closeFd } from '../../../lib/sys/file.ts';
import { openKoffiSyscalls } from '../../../lib/sys/koffi.ts';
import { POLLIN, pollFds } from '../../../lib/sys/socket.ts';
import { slowed } from '../../support/slowness.ts';
import { FlowLedger } from './ledger.ts';
import { ASK_BEGIN, ASK_PROGRESS, ASK_STOP, type FlowSpec } from './spec.ts';
import { bindUdp, openUdp, receiveUdp, sendUdp, within } from './udp.ts';

const STDIN = 0;
const STDOUT = 1;
/** At the end the process waits this long for packets that are still under way. */
const DRAIN_MS = slowed(200);
/** The number of source ports of a flow with fresh ports. Each port is used again only after a minute. */
const FIRST_PORT = 2000;
const PORTS = 60_000;
/** The header of a packet: u32 flow, u32 sequence number. */
const HEADER_BYTES = 8;

const sys = openKoffiSyscalls();
const spec = JSON.parse(process.argv[2] ?? '') as FlowSpec;

class Flow {
  #ledger: FlowLedger;
  readonly #tickMs: number;
  readonly #to: Ip;
  readonly #port: number;
  readonly #receiver: number;
  #sender: number;
  readonly #payload: Uint8Array;
  readonly #expected: Uint8Array | undefined;
  readonly #startMs = performance.now();
  #lookedMs = this.#startMs;
  #tick = -1;

  constructor() {
    this.#tickMs = 1000 / (spec.rateHz ?? 1000);
    this.#ledger = new FlowLedger(this.#tickMs, 0);
    this.#to = parseIp(spec.to.ip);
    const { family } = this.#to;
    this.#receiver = within(sys, spec.to.netnsFromOutside, () => openUdp(sys, family));
    this.#port = bindUdp(sys, this.#receiver, family, 0);
    this.#sender = within(sys, spec.from.netnsFromOutside, () => openUdp(sys, family));
    this.#payload = new Uint8Array(Math.max(HEADER_BYTES, spec.payloadBytes ?? 64));
    new DataView(this.#payload.buffer).setUint32(0, process.pid);
    this.#expected = spec.expectSource === undefined ? undefined : ipToBytes(parseIp(spec.expectSource));
  }

  /** Runs until the owner sends the letter to stop, or has ended. */
  run(): void {
    while (this.#listen()) {
      this.#sendDue();
      this.#receive();
      const nextMs = this.#startMs + (this.#tick + 1) * this.#tickMs;
      this.#wait(nextMs, [STDIN, this.#receiver]);
    }
    const endMs = performance.now() + DRAIN_MS;
    while (!this.#ledger.allArrived && performance.now() < endMs) {
      this.#receive();
      this.#wait(endMs, [this.#receiver]);
    }
    this.#say(this.#ledger.result());
  }

  #sendDue(): void {
    const tick = Math.floor((performance.now() - this.#startMs) / this.#tickMs);
    if (tick <= this.#tick) return;
    this.#tick = tick;
    new DataView(this.#payload.buffer).setUint32(4, tick);
    if (spec.freshPorts === true) this.#renewSender();
    this.#ledger.noteSent(tick);
    if (sendUdp(sys, this.#sender, this.#to, this.#port, this.#payload) < 0) this.#ledger.noteRefused();
  }

  #renewSender(): void {
    const { family } = this.#to;
    closeFd(sys, this.#sender);
    this.#sender = within(sys, spec.from.netnsFromOutside, () => openUdp(sys, family));
    // The ports are used one after the other. If they were chosen at random, some would be used again within a second.
    bindUdp(sys, this.#sender, family, FIRST_PORT + (this.#tick % PORTS));
  }

  #receive(): void {
    for (;;) {
      const packet = receiveUdp(sys, this.#receiver, this.#to.family);
      if (packet === undefined) return;
      const { payload, source } = packet;
      const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
      if (payload.length < HEADER_BYTES || view.getUint32(0) !== process.pid) continue;
      if (this.#expected === undefined || equal(this.#expected, source)) this.#ledger.noteReceived(view.getUint32(4));
      else this.#ledger.noteWrongSource();
    }
  }

  #wait(untilMs: number, fds: readonly number[]): void {
    const waitMs = Math.max(0, untilMs - performance.now());
    const entries = fds.map((fd) => ({ fd, events: POLLIN }));
    pollFds(sys, entries, waitMs);
    const nowMs = performance.now();
    // While it waits for the last packets, it sleeps on purpose. So only a time longer than the intended sleep counts as a gap.
    this.#ledger.noteGap(Math.min(nowMs - this.#lookedMs, nowMs - this.#lookedMs - waitMs + this.#tickMs));
    this.#lookedMs = nowMs;
  }

  /** Answers the owner. Returns false when the owner asked it to stop. */
  #listen(): boolean {
    if ((pollFds(sys, [{ fd: STDIN, events: POLLIN }], 0)[0] ?? 0) === 0) return true;
    const buffer = Buffer.alloc(64);
    const letters = buffer.toString('latin1', 0, readSync(STDIN, buffer));
    if (letters === '' || letters.includes(ASK_STOP)) return false;
    for (const letter of letters) this.#answer(letter);
    return true;
  }

  #answer(letter: string): void {
    // Packets that were under way before the start are not counted.
    if (letter === ASK_BEGIN) this.#ledger = new FlowLedger(this.#tickMs, this.#tick + 1);
    if (letter === ASK_BEGIN || letter === ASK_PROGRESS) this.#say(this.#ledger.progress());
  }

  #say(message: unknown): void {
    writeSync(STDOUT, `${JSON.stringify(message)}\n`);
  }
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}

new Flow().run();
