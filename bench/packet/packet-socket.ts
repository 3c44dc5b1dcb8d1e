// What the two ends of a measurement need of a socket, whichever protocol it speaks.

import { readdirSync, readlinkSync } from 'node:fs';

export interface PacketPeer {
  readonly address: string;
  readonly port?: number;
}

/** Hears of a packet of the other end, and when this program got it. */
export type PacketListener = (payload: Buffer, from: PacketPeer, atNs: number) => void;

export interface PacketSocket {
  /** For poll. */
  readonly fd: number;
  /** `done` hears whether the kernel took it, and when it was given to it. */
  send(payload: Buffer, to: PacketPeer, done: (error: Error | undefined, atNs: number) => void): void;
  listen(listener: PacketListener): void;
}

/** Opens one in this process's network namespace: the receiving end has the known port and answers. */
export type OpenPacketSocket = (receives: boolean) => Promise<PacketSocket>;

/** Runs what opens one socket, and finds its descriptor, which neither node:dgram nor raw-socket tells. */
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
