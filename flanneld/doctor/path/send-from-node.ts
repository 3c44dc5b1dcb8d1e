// Sends test packets from this node itself: UDP, or the first packet of a TCP connection. A table of ours stops them before they leave.

import { createSocket } from 'node:dgram';
import { connect } from 'node:net';
import { formatIp } from '../../../lib/ip.ts';
import type { TestPacket } from './packet-fate.ts';

/** How long the kernel may take to send the first packet of a connection. */
const CONNECT_MS = 100;

/** Resolves when all are sent or refused; the caller traces what happens to them. */
export async function sendFromNode(packets: readonly TestPacket[]): Promise<void> {
  await Promise.all(packets.map((packet) => (packet.transport.protocol === 'udp' ? sendUdp(packet) : sendSyn(packet))));
}

function sendUdp({ to, transport }: TestPacket): Promise<void> {
  return new Promise((resolve) => {
    const socket = createSocket(to.family === 4 ? 'udp4' : 'udp6');
    const end = (): void => void socket.close(() => resolve());
    socket.on('error', end);
    socket.bind(transport.sourcePort, () => socket.send(Buffer.alloc(8), transport.port, formatIp(to), end));
  });
}

function sendSyn({ to, transport }: TestPacket): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect({ host: formatIp(to), port: transport.port, localPort: transport.sourcePort });
    const timer = setTimeout(() => socket.destroy(), CONNECT_MS);
    socket.on('error', () => undefined);
    socket.on('close', () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
