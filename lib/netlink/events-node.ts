// Watches netlink multicast groups from Node. A thread of libuv's pool waits in poll(2) on the socket and an eventfd; then the main
// thread reads without blocking. Two other ways were tried, and with both the process hangs at its end: an asynchronous call of
// recv, and fs.read on the socket.

import { steadyMs } from '../clock-node.ts';
import type { Slot } from '../sys/arena.ts';
import { EAGAIN, ENOBUFS } from '../sys/errno.ts';
import { closeFd, writeAll } from '../sys/file.ts';
import { loadPoll, pollfdsFor } from '../sys/poll-node.ts';
import {
  AF_NETLINK,
  bindNetlink,
  openSocket,
  receiveDatagram,
  SENDER_BYTES,
  SOCK_RAW,
  senderPort,
  setSocketOption,
} from '../sys/socket.ts';
import { check, SysError } from '../sys/sys-error.ts';
import type { Syscalls } from '../sys/syscalls.ts';
import { NETLINK_ADD_MEMBERSHIP, NETLINK_ROUTE, SOL_NETLINK } from './constants.ts';
import { setReceiveBuffer } from './netlink-socket.ts';
import { MessageReader } from './reader.ts';

export interface WatchOptions {
  /** NETLINK_ROUTE when absent. */
  readonly protocol?: number;
  /** Multicast groups by number: RTNLGRP_LINK, … */
  readonly groups: readonly number[];
  /** Receive buffer in bytes; 16 MiB when absent, which holds some twenty thousand events. */
  readonly rcvbufBytes?: number;
  /** One event, valid during the call only. */
  readonly onMessage: (message: MessageReader) => void;
  /** Events were lost, so a copy of the state must be read again. */
  readonly onOverflow: () => void;
  /** Called when everything that had arrived has been reported. */
  readonly onDrained?: () => void;
  /** Watching ended by itself, because the socket failed or one of these functions threw. */
  readonly onError: (error: unknown) => void;
}

export interface EventWatch {
  /**
   * Reports everything that has arrived so far. The kernel queues an event before it acknowledges the change, so every change made
   * before this call has then been reported.
   */
  settle(): Promise<void>;
  /** Stops watching. Resolves when it no longer keeps the process alive. */
  close(): Promise<void>;
}

const RCVBUF_BYTES = 16 * 1024 * 1024;
/** The buffer for one event. The kernel makes none longer than 32 KiB. */
const EVENT_BYTES = 32 * 1024;
/** For how many milliseconds events are read before the event loop may do other work. */
const CHUNK_MS = 5;
/** How many events are read between two checks of the clock. */
const CHUNK_EVENTS = 64;
/** A signal may interrupt poll from time to time. */
const MAX_POLL_FAILURES = 100;
const EFD_CLOEXEC = 0o2000000;
/** An eventfd counts up by the 64-bit number written. */
const WAKE = Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0);

/**
 * Subscribes, in the current network namespace, before it returns: whoever reads the state after that misses no change. Until closed it
 * holds a thread of libuv's pool and keeps the process alive. Throws SysError.
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
  /** An error that was thrown while events were read by `settle`. */
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
      // Ends the watch in the same way as an error while reading.
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
        // poll's result cannot be used, because its errno belongs to the pool's thread. Reading shows whether something has
        // arrived.
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

  /** Reads until nothing is left, and lets everything else run every few milliseconds. */
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
      const sender = arena.alloc(SENDER_BYTES);
      const message = new MessageReader(buffer.bytes(), 0);
      const until = steadyMs() + CHUNK_MS;
      do {
        for (let i = 0; i < CHUNK_EVENTS && !this.#closing; i++) {
          if (!this.#readOne(buffer, sender, message)) return true;
        }
      } while (steadyMs() < until && !this.#closing);
      return false;
    });
  }

  /** Reports one datagram's events; false when there was none. */
  #readOne(buffer: Slot, sender: Slot, message: MessageReader): boolean {
    const length = receiveDatagram(this.#sys, this.#fd, buffer, sender);
    if (length === -EAGAIN) return false;
    if (length === -ENOBUFS || length > buffer.length) {
      this.#options.onOverflow();
      return true;
    }
    if (length < 0) throw new SysError('receive from', 'netlink socket', -length);
    // Other processes with CAP_NET_ADMIN may also send to a group.
    if (senderPort(sender) !== 0) return true;
    message.restart(length);
    while (message.next()) this.#options.onMessage(message);
    return true;
  }
}
