// The interface of a socket for the two ends of a measurement, whichever protocol it uses.

import { readdirSync, readlinkSync } from 'node:fs';

export interface PacketPeer {
  readonly address: string;
  readonly port?: number;
}

/** Called with a packet from the other end, and the time at which this program received it. */
export type PacketListener = (payload: Buffer, from: PacketPeer, atNs: number) => void;

export interface PacketSocket {
  /** The file descriptor, for poll. */
  readonly fd: number;
  /** Sends a packet. `done` is called with whether the kernel accepted it, and with the time it was handed to the kernel. */
  send(payload: Buffer, to: PacketPeer, done: (error: Error | undefined, atNs: number) => void): void;
  listen(listener: PacketListener): void;
}

/** Opens a socket in this process's network namespace. The receiving end listens on a fixed port and answers. */
export type OpenPacketSocket = (receives: boolean) => Promise<PacketSocket>;

/** Runs `open`, which opens one socket, and finds its file descriptor, which neither node:dgram nor raw-socket shows. */
export async function openedFd<T>(open: () => T | Promise<T>): Promise<{ fd: number; opened: T }> {
  const before = openSockets();
  const opened = await open();
  const [fd, ...others] = openSockets().filter((one) => !before.includes(one));
  if (fd === undefined || others.length > 0) throw new Error('no telling which descriptor the socket has');
  return { fd, opened };
}

function openSockets(): number[] {
  return readdirSync('/proc/self/fd').flatMap((fd) => (isSocket(`/proc/self/fd/${fd}`) ? [Number(fd)] : []));
}

function isSocket(path: string): boolean {
  try {
    return readlinkSync(path).startsWith('socket:');
  } catch {
    return false; // the descriptor the folder was read by
  }
}
