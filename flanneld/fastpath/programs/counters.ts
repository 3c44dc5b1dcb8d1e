// Reads how many packets went which way, for the node and for each peer.

import { type BpfMap, listElements, lookupElement } from '../../../lib/bpf/map.ts';
import { type Ip, ipFromBytes } from '../../../lib/ip.ts';
import type { Syscalls } from '../../../lib/sys/syscalls.ts';
import { peerValue, slowOfPeer } from './layout.ts';
import { type PeerReason, peerReasons, type Reason, reasons } from './reasons.ts';

/** Packets by reason since the map was made, summed over all processors. Throws SysError. */
export function readCounters(sys: Syscalls, counters: BpfMap, processors: number): Map<Reason, number> {
  return new Map(reasons.map((reason, index) => [reason, readCounter(sys, counters, index, processors)]));
}

function readCounter(sys: Syscalls, counters: BpfMap, index: number, processors: number): number {
  const key = new Uint8Array(4);
  new DataView(key.buffer).setUint32(0, index, true);
  const bytes = lookupElement(sys, counters, key, processors);
  if (bytes === undefined) return 0;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let sum = 0n;
  for (let at = 0; at < bytes.length; at += 8) sum += view.getBigUint64(at, true);
  return Number(sum);
}

/** The packets of one peer. */
export interface PeerCounts {
  /** The first address of the peer's subnet. */
  readonly ip: Ip;
  /** Packets that were redirected. */
  readonly sent: number;
  readonly received: number;
  /** Packets that went the classic way, by reason; a reason without packets is missing. */
  readonly slow: Readonly<Partial<Record<PeerReason, number>>>;
}

/** The counters of all peers in a map, since each was added to it. Throws SysError. */
export function readPeerCounts(sys: Syscalls, peers: BpfMap): PeerCounts[] {
  return listElements(sys, peers).map(({ key, value }) => {
    const view = new DataView(value.buffer, value.byteOffset, value.length);
    const at = (offset: number): number => Number(view.getBigUint64(offset, true));
    const slow: Partial<Record<PeerReason, number>> = {};
    for (const reason of peerReasons) {
      const packets = at(slowOfPeer(reason));
      if (packets > 0) slow[reason] = packets;
    }
    return { ip: ipFromBytes(key), sent: at(peerValue.sent), received: at(peerValue.received), slow };
  });
}
