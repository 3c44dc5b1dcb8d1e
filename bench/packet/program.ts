// The process at one end of a measurement, started in its pod's network namespace. The sender starts before the pod has an interface
// and sleeps until eth0 is up. The receiver sleeps until a packet arrives, and answers every packet.
// Its argument is an EndSpec; each line it prints is an EndLine.

import { setTimeout as sleep, setImmediate as yieldToEvents } from 'node:timers/promises';
import { openNetlink } from '../../lib/netlink/connection.ts';
import { watchEvents } from '../../lib/netlink/events-node.ts';
import { getLink } from '../../lib/rtnetlink/link.ts';
import { IFF_UP, RTNLGRP_LINK } from '../../lib/rtnetlink/rtnetlink-constants.ts';
import { openKoffiSyscalls } from '../../lib/sys/koffi.ts';
import { POLLIN, pollFds } from '../../lib/sys/socket.ts';
import type { Arrival, EndLine, EndSpec, SendResult, SendSpec } from './end-spec.ts';
import { openIcmpSocket } from './icmp-socket.ts';
import { nextDueMs } from './pace.ts';
import type { PacketSocket } from './packet-socket.ts';
import { openUdpSocket } from './udp-socket.ts';
import { decodePacket, encodePacket } from './wire.ts';

const DEVICE = 'eth0';
const WARM_UP_MS = 30;
/** ADD may still run when the answer is back. So printing, and the end of a process, wait this long, not to disturb it. */
const QUIET_MS = 80;

const sys = openKoffiSyscalls();

function say(line: EndLine): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

async function main(spec: EndSpec): Promise<void> {
  const open = spec.protocol === 'udp' ? openUdpSocket : openIcmpSocket;
  const socket = await open(spec.role === 'receive');
  if (spec.role === 'receive') receive(socket);
  else await send(socket, spec);
}

function receive(socket: PacketSocket): void {
  const seen = new Set<number>();
  socket.listen((payload, from, atNs) => {
    const packet = decodePacket(payload);
    if (packet === undefined) return;
    socket.send(payload, from, () => undefined);
    if (seen.has(packet.run)) return;
    seen.add(packet.run);
    const arrival: Arrival = { run: packet.run, sequence: packet.sequence, atNs };
    setTimeout(() => say({ arrival }), QUIET_MS);
  });
  say({ ready: true });
}

async function send(socket: PacketSocket, spec: SendSpec): Promise<void> {
  const result: SendResult = { sent: 0, refused: 0 };
  socket.listen((payload, _from, atNs) => {
    const packet = decodePacket(payload);
    if (packet?.run === spec.run && result.answeredNs === undefined) result.answeredNs = atNs;
  });
  // Warms up: the engine compiles the code that sends now, and not while the first packet waits. No packet leaves, because the
  // namespace has only a lo that is down.
  await sendUntilAnswered(socket, { ...spec, to: '127.0.0.1', giveUpMs: WARM_UP_MS }, { sent: 0, refused: 0 });
  await untilUp();
  await sendUntilAnswered(socket, spec, result);
  await sleep(QUIET_MS);
  say({ result });
  process.exit();
}

/** Resolves when eth0 is up. Says that it is ready as soon as it could no longer miss the interface. */
async function untilUp(): Promise<void> {
  const netlink = openNetlink(sys);
  const isUp = (): boolean => ((getLink(netlink, { name: DEVICE })?.flags ?? 0) & IFF_UP) !== 0;
  const { promise, resolve, reject } = withResolvers();
  const look = (): void => {
    if (isUp()) resolve();
  };
  const watch = watchEvents(sys, {
    groups: [RTNLGRP_LINK],
    rcvbufBytes: 256 * 1024,
    onMessage: () => undefined,
    onOverflow: look,
    onDrained: look,
    onError: reject,
  });
  say({ ready: true });
  look();
  await promise;
  // Not awaited, since closing would delay the first packet.
  watch.close().catch(() => undefined);
  netlink.close();
}

/** Promise.withResolvers, which Node 20 does not have. */
function withResolvers(): { promise: Promise<void>; resolve: () => void; reject: (error: unknown) => void } {
  let resolve: () => void = () => undefined;
  let reject: (error: unknown) => void = () => undefined;
  const promise = new Promise<void>((done, failed) => {
    resolve = done;
    reject = failed;
  });
  return { promise, resolve, reject };
}

/** Sleeps in poll between two packets: the event loop's timers are too coarse, and a busy loop would take a whole processor. */
async function sendUntilAnswered(socket: PacketSocket, spec: SendSpec, result: SendResult): Promise<void> {
  const startMs = performance.now();
  let dueMs = startMs;
  let sequence = 0;
  for (;;) {
    const nowMs = performance.now();
    if (result.answeredNs !== undefined || nowMs - startMs > spec.giveUpMs) return;
    if (nowMs < dueMs) {
      pollFds(sys, [{ fd: socket.fd, events: POLLIN }], dueMs - nowMs);
    } else {
      const payload = encodePacket({ run: spec.run, sequence });
      socket.send(payload, { address: spec.to }, (error, atNs) => noteSent(result, error, atNs));
      sequence += 1;
      dueMs = nextDueMs(startMs, nowMs);
    }
    // The event loop must run: in it packets are received, and raw-socket sends.
    await yieldToEvents();
  }
}

function noteSent(result: SendResult, error: Error | undefined, atNs: number): void {
  if (error !== undefined) {
    result.refused += 1;
    result.lastRefusal = error.message;
    return;
  }
  result.sent += 1;
  result.firstSentNs ??= atNs;
}

main(JSON.parse(process.argv[2] ?? '') as EndSpec).catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
});
