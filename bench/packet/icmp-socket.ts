// Packets over ICMP echo by raw-socket, the only place that needs it. It is built from C++ when it is installed, which
// may have failed.

import { writeFileSync } from 'node:fs';
import { monotonicNs } from '../../test/lab/command.ts';
import { type OpenPacketSocket, openedFd, type PacketListener } from './packet-socket.ts';
import { decodeEcho, ECHO_REPLY, ECHO_REQUEST, encodeEcho } from './wire.ts';

const IPPROTO_ICMP = 1;
/** raw-socket's own number for IPv4. */
const IPV4 = 1;

/** Nothing in raw-socket or Node holds a socket that is open: without this it is collected as garbage, and hears no more. */
const inUse = new Set<object>();

async function loadRawSocket() {
  try {
    return (await import('raw-socket')).default;
  } catch (cause) {
    const why = 'raw-socket, an optional dependency, did not build: install g++, make and python3, then npm rebuild';
    throw new Error(`ICMP needs ${why} raw-socket`, { cause });
  }
}

/** Throws an error that says how to get raw-socket, when it is not there. */
export async function requireIcmp(): Promise<void> {
  await loadRawSocket();
}

export const openIcmpSocket: OpenPacketSocket = async (receives) => {
  const raw = await loadRawSocket();
  // The answer must come from the program, as UDP's does, and not from the kernel before the program has run.
  if (receives) writeFileSync('/proc/sys/net/ipv4/icmp_echo_ignore_all', '1');
  const { fd, opened: socket } = await openedFd(() =>
    raw.createSocket({ protocol: IPPROTO_ICMP, addressFamily: IPV4 }),
  );
  inUse.add(socket);
  const [sends, hears] = receives ? [ECHO_REPLY, ECHO_REQUEST] : [ECHO_REQUEST, ECHO_REPLY];
  return {
    fd,
    send(payload, to, done) {
      const packet = encodeEcho(sends, payload);
      let atNs = 0;
      const before = (): void => {
        atNs = monotonicNs();
      };
      socket.send(packet, 0, packet.length, to.address, before, (error) => done(error ?? undefined, atNs));
    },
    listen(listener: PacketListener) {
      socket.on('message', (bytes: Buffer, address: string) => {
        const atNs = monotonicNs();
        const payload = decodeEcho(hears, bytes);
        // The next packet is read into the same buffer.
        if (payload !== undefined) listener(Buffer.from(payload), { address }, atNs);
      });
    },
  };
};
