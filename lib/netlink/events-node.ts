// Watching netlink multicast groups from Node. One thread of libuv's pool sits in poll(2) on the socket and
// an eventfd; the main thread then reads without blocking. Ways that were tried and hang at exit: recv
// called asynchronously, and fs.read on the socket.

import type { Slot } from '../sys/arena.ts';
import { EAGAIN, ENOBUFS } from '../sys/errno.ts';
import { closeFd, writeAll } from '../sys/file.ts';
import { loadPoll, pollfdsFor } from '../sys/poll-node.ts';
import { AF_NETLINK, bindNetlink, openSocket, receiveDatagram, SOCK_RAW, setSocketOption } from '../sys/socket.ts';
import { check, SysError } from '../sys/sys-error.ts';
import type { Syscalls } from '../sys/syscalls.ts';
import { NETLINK_ADD_MEMBERSHIP, NETLINK_ROUTE, SOL_NETLINK } from './constants.ts';
import { MessageReader } from './reader.ts';
import { setReceiveBuffer } from './socket.ts';

export interface WatchOptions {
  /** NETLINK_ROUTE when absent. */
  readonly protocol?: number;
  /** Multicast groups by number: RTNLGRP_LINK, … */
  readonly groups: readonly number[];
  /** Receive buffer in bytes; 16 MiB when absent, which holds some twenty thousand events. */
  readonly rcvbufBytes?: number;
  /** One event, valid during the call only. */
  readonly onMessage: (message: MessageReader) => void;
  /** Events were lost: whoever mirrors state must read all of it again. */
  readonly onOverflow: () => void;
  /** Everything that had arrived has been shown. */
  readonly onDrained?: () => void;
  /** Watching ended by itself: the socket failed, or one of these functions threw. */
  readonly onError: (error: unknown) => void;
}

export interface EventWatch {
  /**
   * Shows everything that has arrived so far. Right after it resolves, nothing was left: the kernel queues an event
   * before the change that makes it is acknowledged, so what was changed before the call has been told of.
   */
  settle(): Promise<void>;
  /** Stops watching; resolves when nothing is left that keeps the process alive. */
  close(): Promise<void>;
}

const RCVBUF_BYTES = 16 * 1024 * 1024;
/** One event; the kernel makes none longer than 32 KiB. */
const EVENT_BYTES = 32 * 1024;
/** How long events are read in one go before the event loop has its turn, in milliseconds. */
const CHUNK_MS = 5;
/** Events between two looks at the clock. */
const CHUNK_EVENTS = 64;
/** A signal may interrupt poll now and then. */
const MAX_POLL_FAILURES = 100;
const EFD_CLOEXEC = 0o2000000;
/** An eventfd counts up by the 64-bit number written. */
const WAKE = Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0);

/**
 * Subscribes, in the current network namespace, before it returns: read the state after that and no change
 * is missed. Until closed it holds a thread of libuv's pool and keeps the process alive. Throws SysError.
 */
export function watchEvents(sys: Syscalls, options: WatchOptions): EventWatch {
  const fd = openSocket(sys, AF_NETLINK, SOCK_RAW, options.protocol ?? NETLINK_ROUTE);
  try {
    setReceiveBuffer(sys, fd, options.rcvbufBytes ?? RCVBUF_BYTES);
    bindNetlink(sys, fd);
    for (const group of options.groups) {
      const joined = setSocketOption(sys, fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group);
      check(joined, 'join', `netlink group ${group}`);
    }
    const stopFd = check(sys.call(sys.nr.eventfd2, 0, EFD_CLOEXEC), 'open', 'eventfd');
    return new Watch(sys, fd, stopFd, options);
  } catch (error) {
    closeFd(sys, fd);
    throw error;
  }
}

class Watch implements EventWatch {
  readonly #sys: Syscalls;
  readonly #fd: number;
  readonly #stopFd: number;
  readonly #options: WatchOptions;
  readonly #done: Promise<void>;
  #closing = false;
  /** What was thrown while others read. */
  #failure: { readonly error: unknown } | undefined;

  constructor(sys: Syscalls, fd: number, stopFd: number, options: WatchOptions) {
    this.#sys = sys;
    this.#fd = fd;
    this.#stopFd = stopFd;
    this.#options = options;
    this.#done = this.#watch();
  }

  close(): Promise<void> {
    if (!this.#closing) {
      this.#closing = true;
      writeAll(this.#sys, this.#stopFd, WAKE, 'eventfd');
    }
    return this.#done;
  }

  async settle(): Promise<void> {
    try {
      while (!this.#closing && !this.#readChunk()) await new Promise((resolve) => setImmediate(resolve));
    } catch (error) {
      // Ends the watch as if it had been read there.
      this.#failure ??= { error };
      if (!this.#closing) writeAll(this.#sys, this.#stopFd, WAKE, 'eventfd');
    }
  }

  async #watch(): Promise<void> {
    try {
      const poll = loadPoll();
      const pollfds = pollfdsFor(this.#sys, this.#fd, this.#stopFd);
      let failures = 0;
      while (!this.#closing) {
        // The result of poll is of no use, because its errno belongs to the pool's thread. Reading shows whether there is anything.
        failures = (await poll(pollfds.address, 2, -1)) < 0 ? failures + 1 : 0;
        if (failures > MAX_POLL_FAILURES) throw new Error('poll on a netlink socket fails again and again');
        if (this.#failure !== undefined) throw this.#failure.error;
        if (!this.#closing) await this.#drain();
      }
    } catch (error) {
      this.#closing = true;
      this.#options.onError(error);
    } finally {
      closeFd(this.#sys, this.#fd);
      closeFd(this.#sys, this.#stopFd);
    }
  }

  /** Reads until nothing is left, giving way to everything else every few milliseconds. */
  async #drain(): Promise<void> {
    while (!this.#readChunk()) {
      await new Promise((resolve) => setImmediate(resolve));
      if (this.#closing) return;
    }
    this.#options.onDrained?.();
  }

  /** Reads events for a few milliseconds; true when none is left. */
  #readChunk(): boolean {
    const { arena } = this.#sys;
    return arena.scope(() => {
      const buffer = arena.buffer(EVENT_BYTES);
      const bytes = buffer.bytes();
      const until = performance.now() + CHUNK_MS;
      do {
        for (let i = 0; i < CHUNK_EVENTS && !this.#closing; i++) {
          if (!this.#readOne(buffer, bytes)) return true;
        }
      } while (performance.now() < until && !this.#closing);
      return false;
    });
  }

  /** Shows one datagram's events; false when there was none. */
  #readOne(buffer: Slot, bytes: Uint8Array): boolean {
    const { length, sender } = receiveDatagram(this.#sys, this.#fd, buffer);
    if (length === -EAGAIN) return false;
    if (length === -ENOBUFS || length > bytes.length) {
      this.#options.onOverflow();
      return true;
    }
    if (length < 0) throw new SysError('receive from', 'netlink socket', -length);
    // A process with CAP_NET_ADMIN may send to a group as well.
    if (sender !== 0) return true;
    const message = new MessageReader(bytes, length);
    while (message.next()) this.#options.onMessage(message);
    return true;
  }
}
