// Sends packets as ICMP echo through the package raw-socket. Nothing else uses that package, and it may be missing, because it is
// compiled from C++ when it is installed.

import { writeFileSync } from 'node:fs';
import { monotonicNs } from '../../test/lab/command.ts';
import { type OpenPacketSocket, openedFd, type PacketListener } from './packet-socket.ts';
import { decodeEcho, ECHO_REPLY, ECHO_REQUEST, encodeEcho } from './wire.ts';

const IPPROTO_ICMP = 1;
/** raw-socket's own number for IPv4. */
const IPV4 = 1;

/**
 * Neither raw-socket nor Node holds a reference to an open socket. Without this one it would be garbage-collected and receive nothing more.
 */
const inUse = new Set<object>();

async function loadRawSocket() {
  try {
    return (await import('raw-socket')).default;
  } catch (cause) {
    const why = 'raw-socket, an optional dependency, did not build: install g++, make and python3, then npm rebuild';
    throw new Error(`ICMP needs ${why} raw-socket`, { cause });
  }
}

/** Throws an error that says how to install raw-socket when it is missing. */
export async function requireIcmp(): Promise<void> {
  await loadRawSocket();
}

export const openIcmpSocket: OpenPacketSocket = async (receives) => {
  const raw = await loadRawSocket();
  // The program must answer, as it does with UDP. Otherwise the kernel would answer before the program has run.
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
        // Copied, because raw-socket reads the next packet into the same buffer.
        if (payload !== undefined) listener(Buffer.from(payload), { address }, atNs);
      });
    },
  };
};
