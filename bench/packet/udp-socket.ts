// Sends packets over UDP, by node:dgram.

import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { monotonicNs } from '../../test/lab/command.ts';
import { type OpenPacketSocket, openedFd, type PacketListener } from './packet-socket.ts';

/** The receiver's port. Nothing else in a pod of the lab uses it. */
const PORT = 9_057;

export const openUdpSocket: OpenPacketSocket = async (receives) => {
  // Addresses are numeric. Node's own look-up of names would only take time.
  const socket = createSocket({ type: 'udp4', lookup: (host, _options, found) => found(null, host, 4) });
  const { fd } = await openedFd(async () => {
    // Registered before bind, because with this lookup the socket may listen before bind returns.
    const listening = once(socket, 'listening');
    socket.bind(receives ? PORT : 0);
    await listening;
  });
  return {
    fd,
    send(payload, to, done) {
      const atNs = monotonicNs();
      socket.send(payload, to.port ?? PORT, to.address, (error) => done(error ?? undefined, atNs));
    },
    listen(listener: PacketListener) {
      socket.on('message', (payload, from) => listener(payload, from, monotonicNs()));
    },
  };
};
