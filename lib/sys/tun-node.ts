// A TUN device for Node: the kernel's packets as bytes, and bytes as packets to the kernel (linux/if_tun.h,
// Documentation/networking/tuntap.rst). The device goes when its descriptor is closed.

import { EAGAIN } from './errno.ts';
import { closeFd, O_NONBLOCK, O_RDWR, openFile, writeAll } from './file.ts';
import { loadPoll, pollfdsFor } from './poll-node.ts';
import { check, SysError } from './sys-error.ts';
import type { Syscalls } from './syscalls.ts';

const DEVICE = '/dev/net/tun';
/** _IOW('T', 202, int), the same on x86-64 and arm64. */
const TUNSETIFF = 0x400454ca;
const IFF_TUN = 0x0001;
/** No four bytes before each packet. */
const IFF_NO_PI = 0x1000;
const IFNAMSIZ = 16;
/** struct ifreq: the name, then a union of 24 bytes of which flags are the first two. */
const IFREQ_BYTES = 40;
const PACKET_BYTES = 65_535;
/** Packets read before other work gets its turn. */
const CHUNK_PACKETS = 64;
/** A signal may interrupt poll from time to time. */
const MAX_POLL_FAILURES = 100;
const EFD_CLOEXEC = 0o2000000;

export interface TunOptions {
  /** With `flannel%d` the kernel takes the first free number. */
  readonly name: string;
  /** One packet, valid during the call only. */
  readonly onPacket: (packet: Uint8Array) => void;
  /** Reading ended by itself: the device was deleted, or `onPacket` threw. */
  readonly onError: (error: unknown) => void;
}

export interface Tun {
  readonly name: string;
  /** Gives the kernel a packet; false when it accepts none, because the device is down, gone or full. */
  write(packet: Uint8Array): boolean;
  /** Removes the device; resolves when nothing is left that keeps the process alive. */
  close(): Promise<void>;
}

/**
 * Makes a device in the current network namespace, down and without addresses. Until closed it holds a thread of
 * libuv's pool. Throws SysError, also where the kernel has no TUN.
 */
export function openTun(sys: Syscalls, options: TunOptions): Tun {
  const fd = openFile(sys, DEVICE, O_RDWR | O_NONBLOCK);
  try {
    const name = attach(sys, fd, options.name);
    const stopFd = check(sys.call(sys.nr.eventfd2, 0, EFD_CLOEXEC), 'open', 'eventfd');
    return new OpenTun(sys, { fd, stopFd, name }, options);
  } catch (error) {
    closeFd(sys, fd);
    throw error;
  }
}

/** Returns the name that the device got. */
function attach(sys: Syscalls, fd: number, name: string): string {
  return sys.arena.scope(() => {
    const request = sys.arena.alloc(IFREQ_BYTES);
    const bytes = new TextEncoder().encode(name);
    if (bytes.length >= IFNAMSIZ) throw new Error(`device name ${name} is longer than ${IFNAMSIZ - 1} bytes`);
    request.bytes().set(bytes);
    request.setU16(IFNAMSIZ, IFF_TUN | IFF_NO_PI);
    check(sys.call(sys.nr.ioctl, fd, TUNSETIFF, request.address), 'create', `TUN device ${name}`);
    const given = request.bytes(0, IFNAMSIZ);
    return sys.arena.decode(given.subarray(0, given.indexOf(0)));
  });
}

interface Descriptors {
  readonly fd: number;
  readonly stopFd: number;
  readonly name: string;
}

class OpenTun implements Tun {
  readonly name: string;
  readonly #sys: Syscalls;
  readonly #fd: number;
  readonly #stopFd: number;
  readonly #options: TunOptions;
  readonly #done: Promise<void>;
  #closed = false;

  constructor(sys: Syscalls, { fd, stopFd, name }: Descriptors, options: TunOptions) {
    this.#sys = sys;
    this.#fd = fd;
    this.#stopFd = stopFd;
    this.name = name;
    this.#options = options;
    this.#done = this.#readOn();
  }

  write(packet: Uint8Array): boolean {
    if (this.#closed) return false;
    const { arena, call, nr } = this.#sys;
    return arena.scope(() => {
      const slot = arena.buffer(packet.length);
      slot.bytes().set(packet);
      return call(nr.write, this.#fd, slot.address, packet.length) === packet.length;
    });
  }

  close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true;
      // An eventfd counts up by the 64-bit number written.
      writeAll(this.#sys, this.#stopFd, Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0), 'eventfd');
    }
    return this.#done;
  }

  async #readOn(): Promise<void> {
    try {
      const poll = loadPoll();
      const pollfds = pollfdsFor(this.#sys, this.#fd, this.#stopFd);
      let failures = 0;
      while (!this.#closed) {
        failures = (await poll(pollfds.address, 2, -1)) < 0 ? failures + 1 : 0;
        if (failures > MAX_POLL_FAILURES) throw new Error(`poll on TUN device ${this.name} fails again and again`);
        while (!this.#closed && !this.#readChunk()) await new Promise((resolve) => setImmediate(resolve));
      }
    } catch (error) {
      this.#closed = true;
      this.#options.onError(error);
    } finally {
      closeFd(this.#sys, this.#fd);
      closeFd(this.#sys, this.#stopFd);
    }
  }

  /** True when nothing is left to read. */
  #readChunk(): boolean {
    const { arena, call, nr } = this.#sys;
    return arena.scope(() => {
      const buffer = arena.buffer(PACKET_BYTES);
      for (let count = 0; count < CHUNK_PACKETS; count++) {
        const length = call(nr.read, this.#fd, buffer.address, PACKET_BYTES);
        if (length === -EAGAIN) return true;
        if (length < 0) throw new SysError('read', `TUN device ${this.name}`, -length);
        this.#options.onPacket(buffer.bytes(0, length));
      }
      return false;
    });
  }
}
