// Limits the connections to the health port. Anybody on the node's network may open many and leave them idle; a probe must
// still get through, and the agent must keep file descriptors for its own work.

import { readFileSync } from 'node:fs';
import type { Server } from 'node:http';
import type { Socket } from 'node:net';

/** An open connection takes about 50 kB. */
const MAX_CONNECTIONS = 128;
/** How many connections the kernel queues for accept(2). It drops further SYNs, which are sent again after a second. */
export const BACKLOG = 511;
/** A connection without traffic is closed after this time. */
const IDLE_MS = 5000;

/**
 * Keeps at most `max` connections. A new one replaces the oldest, which has had the most time to send its request. One that was
 * accepted in this turn of the event loop is not closed, because its request is read only in the next turn.
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
    // setImmediate runs after the phase in which sockets are read; two of them give the new connections one such phase.
    if (young.push(socket) === 1) setImmediate(() => setImmediate(makeRoom));
  });
}

/** MAX_CONNECTIONS, or a quarter of this process's limit of open files where that is less. */
function maxConnections(): number {
  try {
    const files = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
    return files === undefined ? MAX_CONNECTIONS : Math.min(MAX_CONNECTIONS, Math.ceil(Number(files) / 4));
  } catch {
    return MAX_CONNECTIONS;
  }
}
