// Requests and their answers on one netlink socket: sequence numbers, batches, acks, dumps (netlink(7)).

import { OpError } from '../errors.ts';
import { EINTR, EINVAL, EMSGSIZE, ENOBUFS, EPROTO, ETIMEDOUT, errnoName } from '../sys/errno.ts';
import type { Syscalls } from '../sys/syscalls.ts';
import { type Ack, decodeAck } from './ack.ts';
import {
  NETLINK_ROUTE,
  NLM_F_ACK,
  NLM_F_DUMP,
  NLM_F_DUMP_INTR,
  NLM_F_ECHO,
  NLM_F_REQUEST,
  NLMSG_DONE,
  NLMSG_ERROR,
  NLMSG_NOOP,
} from './constants.ts';
import { openNetlinkSocket, type SocketOptions } from './netlink-socket.ts';
import { MalformedReply, MessageReader } from './reader.ts';
import { NetlinkError, type NetlinkRequest } from './request.ts';
import type { Exchange, NetlinkTransport } from './transport.ts';
import { MessageWriter } from './writer.ts';

export interface Netlink {
  /** Sends one request and waits for its ack. Throws NetlinkError. */
  run(request: NetlinkRequest): void;
  /**
   * Sends all requests, many in one datagram; the kernel goes on after a failed one. Returns every failure. `onReply` receives the answers
   * to requests with NLM_F_ECHO, while they are valid.
   */
  execute(requests: readonly NetlinkRequest[], onReply?: OnReply): NetlinkError[];
  /**
   * Asks for one object. Undefined when the kernel answers with one of the errnos in `absent`;
   * any other error is thrown as NetlinkError.
   */
  get<T>(request: NetlinkRequest, parse: (message: MessageReader) => T, absent?: readonly number[]): T | undefined;
  /**
   * Asks for many objects; `parse` returns undefined for one to leave out. A dump during which the objects changed is repeated; after 8
   * times the EINTR is thrown. Empty when the kernel answers with an errno in `absent`.
   */
  dump<T>(request: NetlinkRequest, parse: (message: MessageReader) => T | undefined, absent?: readonly number[]): T[];
  close(): void;
}

export type OnReply = (request: NetlinkRequest, message: MessageReader) => void;

/** More than any of our requests needs. A batch is sent when less room than this is left. */
const MAX_REQUEST_BYTES = 2048;
const BATCH_BYTES = 64 * 1024;
/**
 * A receive buffer of the default size can hold this many refusals (212992 bytes hold 256, measured). More would be lost, and the answer to
 * the whole batch would be ENOBUFS.
 */
const BATCH_REQUESTS = 200;
const REPLY_BYTES = 16 * 1024;
/** The kernel builds dumps in packets of up to 32 KiB. */
const DUMP_BYTES = 64 * 1024;
const MAX_DUMP_BYTES = 1024 * 1024;
const DUMP_ATTEMPTS = 8;
/** Sequence numbers start again here: nlmsg_seq has 32 bits, and a batch must not wrap. */
const MAX_SEQ = 0x7fff_0000;

/** Opens an rtnetlink socket in the current network namespace. Throws SysError. */
export function openNetlink(sys: Syscalls, options: SocketOptions = {}): Netlink {
  return netlinkOver(openNetlinkSocket(sys, NETLINK_ROUTE, options));
}

/** A connection over any transport; `subsystem` begins its error messages, `seq` is the last number used. */
export function netlinkOver(transport: NetlinkTransport, subsystem = 'rtnetlink', seq = 0): Netlink {
  return new Connection(transport, subsystem, seq);
}

class Connection implements Netlink {
  private readonly transport: NetlinkTransport;
  private readonly subsystem: string;
  private seq: number;

  constructor(transport: NetlinkTransport, subsystem: string, seq: number) {
    this.seq = seq;
    this.transport = transport;
    this.subsystem = subsystem;
  }

  run(request: NetlinkRequest): void {
    for (const failure of this.execute([request])) throw failure;
  }

  execute(requests: readonly NetlinkRequest[], onReply?: OnReply): NetlinkError[] {
    const failures: NetlinkError[] = [];
    for (let from = 0; from < requests.length; ) {
      const count = Math.min(BATCH_REQUESTS, requests.length - from);
      const bytes = count === 1 ? MAX_REQUEST_BYTES : Math.min(BATCH_BYTES, count * MAX_REQUEST_BYTES);
      from = this.exchange(requests[from], bytes, REPLY_BYTES, (exchange) =>
        this.batch(exchange, requests, from, failures, onReply),
      );
    }
    return failures;
  }

  get<T>(request: NetlinkRequest, parse: (message: MessageReader) => T, absent: readonly number[] = []): T | undefined {
    return this.exchange(request, MAX_REQUEST_BYTES, REPLY_BYTES, (exchange) => {
      // A changed object is echoed before the ack; a requested object comes without an ack.
      const acked = (request.flags & NLM_F_ECHO) !== 0;
      const seq = this.send(exchange, request, acked ? NLM_F_ACK : 0);
      const next = this.answers(exchange, request, seq);
      let result: { value: T } | undefined;
      let message = next();
      for (; message.type !== NLMSG_ERROR; message = next()) {
        result ??= { value: parse(message) };
        if (!acked) return result.value;
      }
      const ack = decodeAck(message);
      if (ack.errno === 0) return result?.value;
      if (absent.includes(ack.errno)) return undefined;
      throw this.error(request, ack);
    });
  }

  dump<T>(
    request: NetlinkRequest,
    parse: (message: MessageReader) => T | undefined,
    absent: readonly number[] = [],
  ): T[] {
    let inBytes = DUMP_BYTES;
    for (let attempt = 1; attempt <= DUMP_ATTEMPTS; attempt++) {
      const pass = new DumpPass(parse);
      const ack = this.exchange(request, MAX_REQUEST_BYTES, inBytes, (exchange) =>
        this.dumpOnce(exchange, request, pass),
      );
      if (pass.thrown !== undefined) throw this.named(request, pass.thrown);
      if (absent.includes(ack.errno)) return [];
      // By EINTR an old kernel says that objects changed during the dump.
      if (ack.errno !== 0 && ack.errno !== EINTR) throw this.error(request, ack);
      if (pass.cutOff) inBytes = Math.min(inBytes * 4, MAX_DUMP_BYTES);
      else if (!pass.interrupted && ack.errno === 0) return pass.items;
    }
    throw this.error(request, { errno: EINTR, text: `changed during each of ${DUMP_ATTEMPTS} dumps` });
  }

  close(): void {
    this.transport.close();
  }

  private exchange<T>(
    request: NetlinkRequest | undefined,
    outBytes: number,
    inBytes: number,
    body: (exchange: Exchange) => T,
  ): T {
    try {
      return this.transport.exchange(outBytes, inBytes, body);
    } catch (thrown) {
      throw this.named(request, thrown);
    }
  }

  /** Sends as many requests as fit, beginning with `from`; returns the index of the first that was not sent. */
  private batch(
    exchange: Exchange,
    requests: readonly NetlinkRequest[],
    from: number,
    failures: NetlinkError[],
    onReply: OnReply | undefined,
  ): number {
    const writer = new MessageWriter(exchange.out);
    const sent: NetlinkRequest[] = [];
    if (this.seq > MAX_SEQ) this.seq = 0;
    const firstSeq = this.seq + 1;
    let next = from;
    for (; next < requests.length && sent.length < BATCH_REQUESTS; next++) {
      const request = requests[next];
      if (request === undefined || (sent.length > 0 && writer.room < MAX_REQUEST_BYTES)) break;
      if (this.append(writer, request, failures)) sent.push(request);
    }
    if (sent.length === 0) return next;
    // Refusals always come back; a single ack, for the last request, ends the batch.
    writer.addFlags(NLM_F_ACK);
    this.checkSent(exchange.send(writer.length), sent[0]);
    this.collect(exchange, sent, firstSeq, failures, onReply);
    return next;
  }

  /** Writes one request. A request that cannot be written (an invalid name) fails without affecting the others. */
  private append(writer: MessageWriter, request: NetlinkRequest, failures: NetlinkError[]): boolean {
    try {
      this.seq++;
      writer.begin(request.type, request.flags | NLM_F_REQUEST, this.seq);
      request.write(writer);
      writer.end();
      return true;
    } catch (cause) {
      if (!(cause instanceof RangeError)) throw cause;
      this.seq--;
      writer.abandon();
      failures.push(this.error(request, { errno: EINVAL, text: cause.message }));
      return false;
    }
  }

  private collect(
    exchange: Exchange,
    sent: readonly NetlinkRequest[],
    firstSeq: number,
    failures: NetlinkError[],
    onReply: OnReply | undefined,
  ): void {
    const lastSeq = firstSeq + sent.length - 1;
    for (;;) {
      const message = this.receive(exchange, sent[0]);
      while (message.next()) {
        const request = sent[message.seq - firstSeq];
        if (request === undefined || !this.isOurs(message, message.seq)) continue;
        if (message.type === NLMSG_ERROR) this.addFailure(failures, request, message);
        else onReply?.(request, message);
        if (message.type === NLMSG_ERROR && message.seq === lastSeq) return;
      }
    }
  }

  private addFailure(failures: NetlinkError[], request: NetlinkRequest, message: MessageReader): void {
    const ack = decodeAck(message);
    if (ack.errno !== 0) failures.push(this.error(request, ack));
  }

  private dumpOnce<T>(exchange: Exchange, request: NetlinkRequest, pass: DumpPass<T>): Ack {
    const seq = this.send(exchange, request, NLM_F_DUMP);
    for (;;) {
      const length = this.receiveLength(exchange, request, pass.cutOff);
      // The message that ends the dump was in the part that was cut off.
      if (length < 0) return { errno: 0 };
      if (length > exchange.in.length) pass.cutOff = true;
      const message = new MessageReader(exchange.in, Math.min(length, exchange.in.length));
      while (pass.next(message)) {
        if (!this.isOurs(message, seq)) continue;
        if (pass.take(message)) return decodeAck(message);
      }
    }
  }

  private send(exchange: Exchange, request: NetlinkRequest, flags: number): number {
    if (this.seq > MAX_SEQ) this.seq = 0;
    const seq = ++this.seq;
    const writer = new MessageWriter(exchange.out);
    writer.begin(request.type, request.flags | flags | NLM_F_REQUEST, seq);
    request.write(writer);
    writer.end();
    this.checkSent(exchange.send(writer.length), request);
    return seq;
  }

  private checkSent(result: number, request: NetlinkRequest | undefined): void {
    if (result < 0) throw this.failed('send', request, -result);
  }

  /** The messages that answer request `seq`, from as many datagrams as needed. */
  private answers(exchange: Exchange, request: NetlinkRequest, seq: number): () => MessageReader {
    let message: MessageReader | undefined;
    return () => {
      for (;;) {
        while (message?.next() === true) if (this.isOurs(message, seq)) return message;
        message = this.receive(exchange, request);
      }
    };
  }

  /** The next datagram; throws on every failure and on a datagram that was cut off. */
  private receive(exchange: Exchange, request: NetlinkRequest | undefined): MessageReader {
    const length = this.receiveLength(exchange, request, false);
    if (length > exchange.in.length) throw this.failed('receive the answer to', request, EMSGSIZE);
    return new MessageReader(exchange.in, length);
  }

  private receiveLength(exchange: Exchange, request: NetlinkRequest | undefined, mayEnd: boolean): number {
    for (;;) {
      const length = exchange.receive();
      if (length >= 0 || (mayEnd && length === -ETIMEDOUT)) return length;
      if (length !== -EINTR) throw this.failed('receive the answer to', request, -length);
    }
  }

  /** Whether a message answers our request `seq`. A request that was abandoned leaves answers unread, which are skipped. */
  private isOurs(message: MessageReader, seq: number): boolean {
    return message.seq === seq && message.portId === this.transport.portId && message.type !== NLMSG_NOOP;
  }

  private error(request: NetlinkRequest, ack: Ack): NetlinkError {
    return new NetlinkError(this.subsystem, request, ack.errno, ack.text);
  }

  private failed(op: string, request: NetlinkRequest | undefined, errno: number): OpError {
    const detail = errno === ENOBUFS ? 'answers were lost: read the state again' : undefined;
    const object = request?.describe() ?? 'a batch';
    return new OpError({ subsystem: this.subsystem, op, object, code: errnoName(errno), detail });
  }

  /** An answer that contradicts itself is an error of the request it answers. */
  private named(request: NetlinkRequest | undefined, thrown: unknown): unknown {
    if (!(thrown instanceof MalformedReply) || request === undefined) return thrown;
    return this.error(request, { errno: EPROTO, text: thrown.message });
  }
}

/** What has been read of a dump so far. */
class DumpPass<T> {
  readonly items: T[] = [];
  interrupted = false;
  cutOff = false;
  /**
   * The first error that `parse` threw. It is kept until the dump has been read to its end, because an unfinished dump blocks the next one
   * (EBUSY).
   */
  thrown: unknown;
  private readonly parse: (message: MessageReader) => T | undefined;

  constructor(parse: (message: MessageReader) => T | undefined) {
    this.parse = parse;
  }

  /** Moves to the next message. In a datagram that was cut off, an incomplete message ends it. */
  next(message: MessageReader): boolean {
    try {
      return message.next();
    } catch (error) {
      if (!this.cutOff) throw error;
      return false;
    }
  }

  /** Takes in one message; returns true when it was the last. */
  take(message: MessageReader): boolean {
    if ((message.flags & NLM_F_DUMP_INTR) !== 0) this.interrupted = true;
    if (message.type === NLMSG_DONE || message.type === NLMSG_ERROR) return true;
    if (this.thrown !== undefined) return false;
    try {
      const item = this.parse(message);
      if (item !== undefined) this.items.push(item);
    } catch (error) {
      this.thrown = error;
    }
    return false;
  }
}
