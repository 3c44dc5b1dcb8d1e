// Room for those who ask, whoever else connects: anybody on the node's network may open connections to the health port
// and leave them idle, and a probe must get through all the same, with file descriptors left for the agent's own work.

import { readFileSync } from 'node:fs';
import type { Server } from 'node:http';
import type { Socket } from 'node:net';

/** Each takes some 50 kB while it is open. */
const MAX_CONNECTIONS = 128;
/** Connections the kernel queues before they are accepted; of more it drops the first packet, which comes again after a second. */
export const BACKLOG = 511;
/** A connection on which nothing happens is closed after this. */
const IDLE_MS = 5000;

/**
 * Keeps at most `max` connections: new ones take the place of the oldest, which have had the most time to ask. One that
 * was accepted in this turn of the event loop is let be: what it asks is read in the next.
 */
export function limitConnections(server: Server, max = maxConnections()): void {
  const open = new Set<Socket>();
  let young: Socket[] = [];
  const makeRoom = (): void => {
    for (const oldest of open) {
      if (open.size + young.length <= max) break;
      open.delete(oldest);
      oldest.destroy();
    }
    for (const socket of young) if (!socket.destroyed) open.add(socket);
    young = [];
  };
  server.timeout = IDLE_MS;
  server.on('connection', (socket: Socket) => {
    socket.once('close', () => open.delete(socket));
    // setImmediate comes after the phase in which sockets are read.
    if (young.push(socket) === 1) setImmediate(() => setImmediate(makeRoom));
  });
}

/** A quarter of the file descriptors this process may have, where those are few. */
function maxConnections(): number {
  try {
    const files = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
    return files === undefined ? MAX_CONNECTIONS : Math.min(MAX_CONNECTIONS, Math.ceil(Number(files) / 4));
  } catch {
    return MAX_CONNECTIONS;
  }
}
