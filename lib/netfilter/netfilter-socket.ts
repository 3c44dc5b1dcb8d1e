// A NETLINK_NETFILTER socket: single requests and dumps as on any netlink socket, and nf_tables transactions, which are batches of messages
// between an opening and a closing one (net/netfilter/nfnetlink.c).

import { decodeAck } from '../netlink/ack.ts';
import { type Netlink, netlinkOver } from '../netlink/connection.ts';
import { NETLINK_NETFILTER, NLM_F_ACK, NLM_F_REQUEST, NLMSG_ERROR } from '../netlink/constants.ts';
import { openNetlinkSocket } from '../netlink/netlink-socket.ts';
import { MessageReader } from '../netlink/reader.ts';
import { NetlinkError, type NetlinkRequest } from '../netlink/request.ts';
import type { Exchange, NetlinkTransport } from '../netlink/transport.ts';
import { MessageWriter } from '../netlink/writer.ts';
import { O_CLOEXEC } from '../sys/file.ts';
import type { Syscalls } from '../sys/syscalls.ts';
import {
  NFNL_BATCH_GENID,
  NFNL_MSG_BATCH_BEGIN,
  NFNL_MSG_BATCH_END,
  NFNL_SUBSYS_NFTABLES,
} from './nf-tables-constants.ts';

export interface Netfilter {
  /** Sends single requests and reads lists. */
  readonly netlink: Netlink;
  /**
   * Makes all requested changes or none. With a `generation` (see nftables.ts) it makes none and fails with ERESTART when the rule
   * set has changed since then. Throws NetlinkError with the first refusal.
   */
  transact(requests: readonly NetlinkRequest[], generation?: number): void;
  /** Events about changes that this socket made have this port id. */
  readonly portId: number;
  close(): void;
}

const SUBSYSTEM = 'nftables';
/** The opening or closing message: header, nfgenmsg, generation. */
const BRACKET_BYTES = 32;
/** Much more than any of our requests needs. */
const MAX_REQUEST_BYTES = 640;
const REPLY_BYTES = 16 * 1024;
/** Room for transactions of thousands of elements; the default holds a few hundred. */
const SEND_BUFFER_BYTES = 4 * 1024 * 1024;
/** Sequence numbers of transactions; those of single questions begin at 1. */
const FIRST_SEQ = 0x4000_0000;
const ERESTART = 85;

/** Opens a socket in the current network namespace. Throws SysError. */
export function openNetfilter(sys: Syscalls): Netfilter {
  return netfilterOver(openNetlinkSocket(sys, NETLINK_NETFILTER, { sndbufBytes: SEND_BUFFER_BYTES }));
}

/** The same over any transport. */
export function netfilterOver(transport: NetlinkTransport): Netfilter {
  const netlink = netlinkOver(transport, SUBSYSTEM);
  return {
    netlink,
    transact: (requests, generation) => transact(transport, requests, generation),
    portId: transport.portId,
    close: () => netlink.close(),
  };
}

/** Whether a transaction failed because the rule set had changed meanwhile. Then it must be read again before the next try. */
export function isOutdated(thrown: unknown): boolean {
  return thrown instanceof NetlinkError && thrown.errno === ERESTART;
}

/**
 * Closes the socket without waiting for the RCU grace period of 8–16 ms. After a deletion the kernel makes the last close of a socket wait
 * for it (nft_rcv_nl_event). So a child process holds the socket until we have closed ours.
 */
export function closeSoon(sys: Syscalls, netfilter: Netfilter): void {
  const pipe = openPipe(sys);
  if (pipe !== undefined) {
    const { read, write } = pipe;
    // The read returns at the end of the pipe, when no process holds the writing end any more. If no child could be made, the close itself
    // waits.
    sys.detach(write, sys.nr.read, read, sys.arena.keep(8).address, 1);
    netfilter.close();
    sys.call(sys.nr.close, read);
    sys.call(sys.nr.close, write);
  }
  netfilter.close();
}

function openPipe(sys: Syscalls): { readonly read: number; readonly write: number } | undefined {
  return sys.arena.scope(() => {
    const ends = sys.arena.alloc(8);
    if (sys.call(sys.nr.pipe2, ends.address, O_CLOEXEC) < 0) return undefined;
    return { read: ends.i32(0), write: ends.i32(4) };
  });
}

function transact(transport: NetlinkTransport, requests: readonly NetlinkRequest[], generation?: number): void {
  const [first] = requests;
  if (first === undefined) return;
  const outBytes = 2 * BRACKET_BYTES + requests.length * MAX_REQUEST_BYTES;
  transport.exchange(outBytes, REPLY_BYTES, (exchange) => {
    const sent = exchange.send(writeBatch(exchange.out, requests, generation));
    if (sent < 0) throw new NetlinkError(SUBSYSTEM, first, -sent);
    const refusal = collect(exchange, requests, transport.portId);
    if (refusal !== undefined) throw refusal;
  });
}

function writeBatch(out: Uint8Array, requests: readonly NetlinkRequest[], generation: number | undefined): number {
  const writer = new MessageWriter(out);
  let seq = FIRST_SEQ;
  bracket(writer, NFNL_MSG_BATCH_BEGIN, seq++, generation);
  for (const request of requests) {
    // Refusals are always reported. The answer to the last request says that no more will come.
    const ack = seq - FIRST_SEQ === requests.length ? NLM_F_ACK : 0;
    writer.begin(request.type, request.flags | NLM_F_REQUEST | ack, seq++);
    request.write(writer);
    writer.end();
  }
  bracket(writer, NFNL_MSG_BATCH_END, seq);
  return writer.length;
}

/** struct nfgenmsg: u8 family, u8 version, be16 res_id, which is the subsystem here. */
function bracket(writer: MessageWriter, type: number, seq: number, generation?: number): void {
  writer.begin(type, NLM_F_REQUEST, seq);
  writer.u16(0);
  writer.u8(0);
  writer.u8(NFNL_SUBSYS_NFTABLES);
  if (generation !== undefined) writer.attrBytes(NFNL_BATCH_GENID, be32(generation));
  writer.end();
}

/** The first refusal, undefined when there is none. */
function collect(exchange: Exchange, requests: readonly NetlinkRequest[], portId: number): NetlinkError | undefined {
  let refusal: NetlinkError | undefined;
  for (;;) {
    const length = exchange.receive();
    if (length < 0 || length > REPLY_BYTES) return refusal ?? refused(requests, 0, Math.abs(length));
    const answers = readAnswers(new MessageReader(exchange.in, length), requests, portId);
    refusal ??= answers.refusal;
    if (answers.ended) return refusal;
  }
}

interface Answers {
  readonly refusal: NetlinkError | undefined;
  readonly ended: boolean;
}

/**
 * Whether no more answers will come: after the answer to the last request, or after a refusal of the opening message, which refuses
 * everything.
 */
function readAnswers(message: MessageReader, requests: readonly NetlinkRequest[], portId: number): Answers {
  let refusal: NetlinkError | undefined;
  while (message.next()) {
    const place = message.seq - FIRST_SEQ;
    if (message.type !== NLMSG_ERROR || message.portId !== portId || place < 0 || place > requests.length) continue;
    const { errno, text } = decodeAck(message);
    if (errno !== 0) refusal ??= refused(requests, place, errno, text);
    if (place === requests.length || place === 0) return { refusal, ended: true };
  }
  return { refusal, ended: false };
}

/** A `place` of 0 means the opening message. */
function refused(requests: readonly NetlinkRequest[], place: number, errno: number, text?: string): NetlinkError {
  return new NetlinkError(SUBSYSTEM, requests[Math.max(place, 1) - 1] as NetlinkRequest, errno, text);
}

/** 32 bits in network order. */
export function be32(value: number): Uint8Array {
  return new Uint8Array([value >>> 24, value >>> 16, value >>> 8, value]);
}
