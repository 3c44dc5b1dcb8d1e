// Packets over UDP by node:dgram.

import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { monotonicNs } from '../../test/lab/command.ts';
import { type OpenPacketSocket, openedFd, type PacketListener } from './packet-socket.ts';

/** Of the receiving end; nobody else's in a pod of the lab. */
const PORT = 9_057;

export const openUdpSocket: OpenPacketSocket = async (receives) => {
  // The packets' addresses are numbers: to look them up would only let time pass.
  const socket = createSocket({ type: 'udp4', lookup: (host, _options, found) => found(null, host, 4) });
  const { fd } = await openedFd(async () => {
    // With such a lookup it may listen before bind returns.
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
