// A fake kernel for tests: a function receives each request and decides about the answers. It replaces only the socket, so everything above
// it is the real code. A dump is sent in two halves and its end in a third datagram, so that a caller that stops reading too early fails.

import { ETIMEDOUT } from '../sys/errno.ts';
import type { Netlink } from './connection.ts';
import { netlinkOver } from './connection.ts';
import {
  NLM_F_ACK,
  NLM_F_ACK_TLVS,
  NLM_F_CAPPED,
  NLM_F_DUMP,
  NLM_F_DUMP_INTR,
  NLM_F_MULTI,
  NLMSG_DONE,
  NLMSG_ERROR,
  NLMSGERR_ATTR_MSG,
} from './constants.ts';
import { MessageReader } from './reader.ts';
import type { Exchange, NetlinkTransport } from './transport.ts';
import { MessageWriter } from './writer.ts';

/** The answers to a request. A request without an answer succeeds. */
export interface FakeReplies {
  /** One object. */
  message(type: number, write: (writer: MessageWriter) => void): void;
  /** A refusal, with the kernel's text if there is one. */
  error(errno: number, text?: string): void;
  /** Marks the list as changed while it was read. */
  interrupted(): void;
  /** Sends a datagram unchanged before everything else: a hostile, foreign or late one. */
  raw(bytes: Uint8Array): void;
  /** Makes the next receive fail with this errno before everything else. */
  fails(errno: number): void;
}

/** Is called for each request. `request` is valid only during the call. */
export type FakeAnswer = (request: MessageReader, replies: FakeReplies) => void;

export interface FakeTransport extends NetlinkTransport {
  /** Copies of all datagrams sent. */
  readonly sent: readonly Uint8Array[];
  /** Makes the next send fail. */
  failNextSend(errno: number): void;
  readonly closed: boolean;
}

const FAKE_PORT_ID = 4711;

export interface FakeNetlink {
  readonly netlink: Netlink;
  readonly transport: FakeTransport;
}

export function openFakeNetlink(answer: FakeAnswer): FakeNetlink {
  const transport = fakeTransport(answer);
  return { transport, netlink: netlinkOver(transport) };
}

function fakeTransport(answer: FakeAnswer): FakeTransport {
  const queue: (Uint8Array | number)[] = [];
  const sent: Uint8Array[] = [];
  let sendErrno = 0;
  let closed = false;

  function exchange(outBytes: number, inBytes: number): Exchange {
    const out = new Uint8Array(outBytes);
    const incoming = new Uint8Array(inBytes);
    return {
      out,
      in: incoming,
      send(length) {
        const errno = sendErrno;
        sendErrno = 0;
        if (errno !== 0) return -errno;
        const datagram = out.slice(0, length);
        sent.push(datagram);
        const request = new MessageReader(datagram);
        while (request.next()) queue.push(...answerOne(answer, request));
        return 0;
      },
      receive() {
        const next = queue.shift();
        if (next === undefined) return -ETIMEDOUT;
        if (typeof next === 'number') return -next;
        incoming.set(next.subarray(0, incoming.length));
        return next.length;
      },
    };
  }

  return {
    portId: FAKE_PORT_ID,
    sent,
    exchange: (outBytes, inBytes, body) => body(exchange(outBytes, inBytes)),
    failNextSend(errno) {
      sendErrno = errno;
    },
    get closed() {
      return closed;
    },
    close() {
      closed = true;
    },
  };
}

interface Gathered {
  readonly first: (Uint8Array | number)[];
  readonly objects: Uint8Array[];
  refused: { errno: number; text: string | undefined } | undefined;
  interrupted: boolean;
}

function answerOne(answer: FakeAnswer, request: MessageReader): (Uint8Array | number)[] {
  const dump = (request.flags & NLM_F_DUMP) === NLM_F_DUMP;
  const { seq } = request;
  const gathered: Gathered = { first: [], objects: [], refused: undefined, interrupted: false };
  answer(request, {
    message(type, write) {
      const flags = (dump ? NLM_F_MULTI : 0) | (gathered.interrupted ? NLM_F_DUMP_INTR : 0);
      gathered.objects.push(fakeMessage({ type, flags, seq }, write));
    },
    error(errno, text) {
      gathered.refused = { errno, text };
    },
    interrupted() {
      gathered.interrupted = true;
    },
    raw: (bytes) => gathered.first.push(bytes),
    fails: (errno) => gathered.first.push(errno),
  });
  return [...gathered.first, ...(dump ? dumpAnswer(gathered, request) : changeAnswer(gathered, request))];
}

function dumpAnswer({ objects, refused, interrupted }: Gathered, request: MessageReader): Uint8Array[] {
  const done = fakeMessage(
    { type: NLMSG_DONE, flags: NLM_F_MULTI | (interrupted ? NLM_F_DUMP_INTR : 0), seq: request.seq },
    (writer) => writer.u32(refused === undefined ? 0 : -refused.errno),
  );
  const half = Math.ceil(objects.length / 2);
  return [joined(objects.slice(0, half)), joined(objects.slice(half)), done].filter((bytes) => bytes.length > 0);
}

function changeAnswer({ objects, refused }: Gathered, request: MessageReader): Uint8Array[] {
  const answers = [...objects];
  if (refused !== undefined) answers.push(errorMessage(request, refused.errno, refused.text));
  else if ((request.flags & NLM_F_ACK) !== 0) answers.push(errorMessage(request, 0));
  return answers;
}

/** An NLMSG_ERROR as NETLINK_CAP_ACK makes it: errno, the request's header, the kernel's words. */
function errorMessage(request: MessageReader, errno: number, text?: string): Uint8Array {
  const flags = NLM_F_CAPPED | (text === undefined ? 0 : NLM_F_ACK_TLVS);
  return fakeMessage({ type: NLMSG_ERROR, flags, seq: request.seq }, (writer) => {
    writer.u32(-errno);
    writer.u32(request.end - request.at + 16);
    writer.u16(request.type);
    writer.u16(request.flags);
    writer.u32(request.seq);
    writer.u32(0);
    if (text !== undefined) writer.attrText(NLMSGERR_ATTR_MSG, text);
  });
}

export interface FakeHeader {
  readonly type: number;
  readonly flags?: number;
  readonly seq?: number;
}

/** One message as bytes, sent to FAKE_PORT_ID. */
export function fakeMessage(header: FakeHeader, write: (writer: MessageWriter) => void): Uint8Array {
  const bytes = new Uint8Array(16 * 1024);
  const writer = new MessageWriter(bytes);
  writer.begin(header.type, header.flags ?? 0, header.seq ?? 0);
  write(writer);
  writer.end();
  new DataView(bytes.buffer).setUint32(12, FAKE_PORT_ID, true);
  return bytes.slice(0, writer.length);
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
