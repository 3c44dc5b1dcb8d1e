// A TCP proxy on loopback that can drop everything, as a network partition does: connections stay open and nothing arrives.

import { once } from 'node:events';
import type { Socket } from 'node:net';
import { connect, createServer } from 'node:net';

export interface TcpProxy {
  readonly url: URL;
  /** From now on, nothing gets through. New connections are accepted and stay silent. */
  cut(): void;
  /** New connections get through again. The connections from before stay dead. */
  heal(): void;
  /** Closes every connection at once, as when a server is stopped. */
  reset(): void;
  close(): Promise<void>;
}

export async function startProxy(target: URL): Promise<TcpProxy> {
  const sockets = new Set<Socket>();
  let isCut = false;
  const server = createServer((client) => {
    track(client);
    if (isCut) return;
    const upstream = connect(Number(target.port), target.hostname);
    track(upstream);
    // A server that is gone refuses or resets connections. Only during a partition do they stay silent.
    upstream.on('close', () => {
      if (!isCut) client.destroy();
    });
    client.pipe(upstream).pipe(client);
  });
  function track(socket: Socket): void {
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
    socket.on('close', () => sockets.delete(socket));
  }
  const reset = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('the proxy has no port');
  return {
    url: new URL(`${target.protocol}//127.0.0.1:${address.port}`),
    reset,
    cut() {
      isCut = true;
      for (const socket of sockets) socket.unpipe().pause();
    },
    heal() {
      isCut = false;
      reset();
    },
    async close() {
      reset();
      await once(server.close(), 'close');
    },
  };
}
