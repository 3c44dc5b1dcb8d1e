// The kernel's answers: real answers are recorded once, and then given again with wrong bytes, lengths and messages, in arena memory that
// ends where the longest datagram ends.

import { OpError } from '../../../../lib/errors.ts';
import { parseIp } from '../../../../lib/ip.ts';
import { listUdpConnections } from '../../../../lib/netfilter/conntrack.ts';
import { listElements } from '../../../../lib/netfilter/elements.ts';
import { listRules, listSets, readGeneration } from '../../../../lib/netfilter/nftables.ts';
import { readRulesetEvent } from '../../../../lib/netfilter/ruleset-event.ts';
import { readTraceEvent } from '../../../../lib/netfilter/trace-event.ts';
import { type Netlink, netlinkOver } from '../../../../lib/netlink/connection.ts';
import { NETLINK_NETFILTER, NETLINK_ROUTE } from '../../../../lib/netlink/constants.ts';
import { openNetlinkSocket } from '../../../../lib/netlink/netlink-socket.ts';
import { MalformedReply, MessageReader } from '../../../../lib/netlink/reader.ts';
import type { NetlinkTransport } from '../../../../lib/netlink/transport.ts';
import { listAddresses } from '../../../../lib/rtnetlink/address.ts';
import { readEvent } from '../../../../lib/rtnetlink/event.ts';
import { listFdb } from '../../../../lib/rtnetlink/fdb.ts';
import { listIfbs } from '../../../../lib/rtnetlink/ifb.ts';
import { getLink, listLinks } from '../../../../lib/rtnetlink/link.ts';
import { listNeighs } from '../../../../lib/rtnetlink/neigh.ts';
import { listNexthops } from '../../../../lib/rtnetlink/nexthop.ts';
import { getTokenBucket } from '../../../../lib/rtnetlink/qdisc.ts';
import { getRoute, listRoutes } from '../../../../lib/rtnetlink/route.ts';
import { ETIMEDOUT } from '../../../../lib/sys/errno.ts';
import type { Syscalls } from '../../../../lib/sys/syscalls.ts';
import type { Random } from '../random.ts';
import type { Target } from './target.ts';

type Datagrams = readonly Uint8Array[];

interface Question {
  readonly name: string;
  readonly protocol: number;
  ask(netlink: Netlink): unknown;
}

/** fuzz.test.ts makes these: device 2 has routes and neighbours, device 3 FDB entries; the table has a set and a rule. */
const table = { family: 'inet', name: 'fuzz' } as const;

const questions: readonly Question[] = [
  route('listLinks', (n) => listLinks(n)),
  route('getLink', (n) => getLink(n, { index: 3 })),
  route('listAddresses', (n) => listAddresses(n)),
  route('listNeighs', (n) => listNeighs(n, { index: 2 })),
  route('listFdb', (n) => listFdb(n, { index: 3 })),
  route('listNexthops', (n) => listNexthops(n)),
  route('listRoutes', (n) => listRoutes(n, { family: 4 })),
  route('listRoutes IPv6', (n) => listRoutes(n, { family: 6 })),
  route('getRoute', (n) => getRoute(n, parseIp('10.9.0.1'))),
  route('listIfbs', (n) => listIfbs(n)),
  route('getTokenBucket', (n) => getTokenBucket(n, 2)),
  filter('listSets', (n) => listSets(n, table)),
  filter('listRules', (n) => listRules(n, table)),
  filter('listElements', (n) => listElements(n, { table, set: 's' })),
  filter('readGeneration', readGeneration),
  filter('listUdpConnections', (n) => listUdpConnections(n, 4, 53)),
];

function route(name: string, ask: (netlink: Netlink) => unknown): Question {
  return { name, protocol: NETLINK_ROUTE, ask };
}

function filter(name: string, ask: (netlink: Netlink) => unknown): Question {
  return { name, protocol: NETLINK_NETFILTER, ask };
}

export function netlinkTargets(sys: Syscalls): Target[] {
  const recorded = questions.map((question) => ({ question, ...record(sys, question) }));
  const all = recorded.flatMap(({ datagrams }) => datagrams);
  const answers = recorded.map(({ question, portId, datagrams }) => ({
    name: question.name,
    once: (random: Random) => {
      const spoiled = spoilDatagrams(datagrams, all, random);
      check(() => question.ask(netlinkOver(replay(sys, portId, spoiled), 'netlink', 0)), spoiled);
    },
  }));
  const events = {
    name: 'events',
    once: (random: Random) => readEvents(sys, spoilDatagrams([random.pick(all)], all, random)),
  };
  return [...answers, events];
}

/** Asks the kernel; throws when it refuses or has nothing to list. */
function record(sys: Syscalls, { name, protocol, ask }: Question): { portId: number; datagrams: Datagrams } {
  const real = openNetlinkSocket(sys, protocol);
  const datagrams: Uint8Array[] = [];
  const recorder: NetlinkTransport = {
    portId: real.portId,
    close: () => real.close(),
    exchange: (outBytes, inBytes, body) =>
      real.exchange(outBytes, inBytes, (exchange) =>
        body({
          out: exchange.out,
          in: exchange.in,
          send: (length) => exchange.send(length),
          receive: () => {
            const length = exchange.receive();
            if (length > 0) datagrams.push(exchange.in.slice(0, length));
            return length;
          },
        }),
      ),
  };
  const value = ask(netlinkOver(recorder, 'netlink', 0));
  real.close();
  if (value === undefined || (Array.isArray(value) && value.length === 0)) {
    throw new Error(`nothing answers ${name}: there is nothing to spoil`);
  }
  return { portId: real.portId, datagrams };
}

function replay(sys: Syscalls, portId: number, datagrams: Datagrams): NetlinkTransport {
  const queue = [...datagrams];
  const longest = Math.max(16, ...datagrams.map(({ length }) => length));
  return {
    portId,
    close: () => undefined,
    exchange: (outBytes, inBytes, body) =>
      sys.arena.scope(() => {
        const [out, incoming] = [sys.arena.alloc(outBytes), sys.arena.alloc(Math.min(inBytes, longest))];
        return body({
          out: out.bytes(),
          in: incoming.bytes(),
          send: () => 0,
          receive: () => {
            const next = queue.shift();
            if (next === undefined) return -ETIMEDOUT;
            incoming.bytes().set(next.subarray(0, incoming.length));
            return next.length;
          },
        });
      }),
  };
}

function readEvents(sys: Syscalls, datagrams: Datagrams): void {
  for (const datagram of datagrams) {
    sys.arena.scope(() => {
      const slot = sys.arena.alloc(datagram.length);
      slot.bytes().set(datagram);
      check(() => {
        const message = new MessageReader(slot.bytes());
        while (message.next()) readOne(message, datagram);
      }, [datagram]);
    });
  }
}

/** A message that cannot be read must not keep the next one from being read. */
function readOne(message: MessageReader, datagram: Uint8Array): void {
  check(() => readEvent(message), [datagram]);
  check(() => readRulesetEvent(message), [datagram]);
  check(() => readTraceEvent(message), [datagram]);
}

/** Accepts a value, or an error of the intended kind; anything else is a mistake in a reader. */
function check(body: () => unknown, datagrams: Datagrams): void {
  try {
    body();
  } catch (thrown) {
    if (thrown instanceof OpError || thrown instanceof MalformedReply) return;
    const hex = datagrams.map((bytes) => [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(''));
    throw new Error(`${String(thrown)} from ${hex.join(' ').slice(0, 6000)}`);
  }
}

function spoilDatagrams(datagrams: Datagrams, all: Datagrams, random: Random): Uint8Array[] {
  const spoiled: Uint8Array[] = datagrams.map((bytes) => bytes.slice());
  for (let times = random.pick([1, 1, 2, 4, 16]); times > 0; times--) {
    const at = random.below(Math.max(1, spoiled.length));
    const bytes = spoiled[at] ?? new Uint8Array(random.below(64));
    if (random.chance(0.05)) spoiled.splice(at, random.below(2), random.pick(all).slice());
    else spoiled[at] = spoilBytes(bytes, all, random);
  }
  return spoiled;
}

const LENGTHS = [0, 1, 2, 3, 4, 5, 8, 12, 15, 16, 17, 20, 255, 0x7fff, 0x8000, 0xffff];

function spoilBytes(bytes: Uint8Array, all: Datagrams, random: Random): Uint8Array {
  if (bytes.length < 8) return random.pick(all).slice();
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  // Lengths and types lie at multiples of 4.
  const aligned = random.below(bytes.length >> 2) * 4;
  switch (random.below(6)) {
    case 0:
      bytes[random.below(bytes.length)] = random.below(256);
      return bytes;
    case 1:
      view.setUint16(aligned, random.pick(LENGTHS), true);
      return bytes;
    case 2:
      view.setUint16(aligned + 2, random.below(64) | random.pick([0, 0, 0x8000, 0x4000]), true);
      return bytes;
    case 3:
      view.setUint32(0, random.pick([0, 15, 16, 17, bytes.length - 1, bytes.length + 1, 0xffffffff]), true);
      return bytes;
    case 4:
      return bytes.slice(0, random.below(bytes.length));
    default:
      return spliced(bytes, random.pick(all), aligned, random);
  }
}

function spliced(bytes: Uint8Array, other: Uint8Array, at: number, random: Random): Uint8Array {
  const piece = other.subarray(random.below(other.length >> 2) * 4);
  const length = Math.min(piece.length, bytes.length - at, 4 + random.below(16) * 4);
  bytes.set(piece.subarray(0, length), at);
  return bytes;
}
