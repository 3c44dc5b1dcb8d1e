// Whether packets of the interface's full size reach other nodes: UDP with DF to a closed port, which the other node's kernel answers with
// "port unreachable". No program has to run there. This tests the way there only; the answer is small.

import { systemClock } from '../../../lib/clock-node.ts';
import { formatIp, type Ip } from '../../../lib/ip.ts';
import { openUdp, readBounces, sendDatagram } from '../../../lib/sys/datagram.ts';
import { ECONNREFUSED } from '../../../lib/sys/errno.ts';
import { closeFd } from '../../../lib/sys/file.ts';
import type { Syscalls } from '../../../lib/sys/syscalls.ts';
import type { UnderlayFacts } from '../view/facts.ts';
import type { SizeTry } from './preflight-facts.ts';

/** The first ports of traceroute, on which hardly any program listens; two, to tell the answers apart. */
const SMALL_PORT = 33_434;
const FULL_PORT = 33_435;
/** Headers of IP and UDP. */
const HEADERS = { 4: 28, 6: 48 } as const;
const ROUNDS = 3;
/** A host sends only a few such answers a second, so a lost one is asked for again after this time. */
const ROUND_MS = 400;

export async function trySizes(
  sys: Syscalls,
  underlay: UnderlayFacts | undefined,
  peers: readonly Ip[],
): Promise<SizeTry[]> {
  const mtu = underlay?.link?.mtu;
  if (mtu === undefined) return [];
  const found = ([4, 6] as const).map((family) => {
    const local = underlay?.locals.find((ip) => ip.family === family);
    const some = peers.filter((peer) => peer.family === family);
    return local === undefined || some.length === 0 ? [] : tryFamily(sys, local, mtu, some);
  });
  return (await Promise.all(found)).flat();
}

async function tryFamily(sys: Syscalls, local: Ip, bytes: number, peers: readonly Ip[]): Promise<SizeTry[]> {
  const { family } = local;
  const fd = openUdp(sys, { family, address: local, port: 0 });
  const answered = new Set<string>();
  const keyOf = (ip: Ip, port: number): string => `${formatIp(ip)} ${port}`;
  try {
    for (let round = 0; round < ROUNDS; round++) {
      for (const ip of peers) {
        for (const port of [SMALL_PORT, FULL_PORT]) {
          const size = port === SMALL_PORT ? 8 : bytes - HEADERS[family];
          if (!answered.has(keyOf(ip, port))) sendDatagram(sys, fd, { ip, port }, new Uint8Array(size));
        }
      }
      await new Promise<void>((resolve) => void systemClock.after(ROUND_MS, resolve));
      readBounces(sys, fd, family, ({ to, port, errno, isIcmp }) => {
        if (isIcmp && errno === ECONNREFUSED) answered.add(keyOf(to, port));
      });
    }
  } finally {
    closeFd(sys, fd);
  }
  return peers.map((peer) => {
    const isFull = answered.has(keyOf(peer, FULL_PORT));
    const result = isFull ? 'passes' : answered.has(keyOf(peer, SMALL_PORT)) ? 'too large' : 'unknown';
    return { peer, bytes, result };
  });
}
