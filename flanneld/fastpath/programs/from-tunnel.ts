// The program at the tunnel's device: it hands packets that came out of the tunnel straight to the destination pod, past routing, netfilter
// and bridge. The kernel has received, checked and decapsulated them as usual.

import type { AssembledProgram, Assembler } from '../../../lib/bpf/assembler.ts';
import { PACKET_HOST, skb } from '../../../lib/bpf/skb.ts';
import { podValue } from '../../../lib/pods/fast-path-pods.ts';
import {
  checkDevice,
  checkHeader,
  checkHeartbeat,
  checkSize,
  checkUntracked,
  compareMac,
  count,
  type FamilyLayout,
  keepPeer,
  keepPointer,
  keptPointer,
  lookUp,
  lookUpSubnet,
  programOf,
  slow,
} from './common-parts.ts';
import { writeHeaders } from './headers.ts';
import { peerValue } from './layout.ts';

/** Offset of the source address in the Ethernet header. */
const SOURCE_MAC = 6;

export function fromTunnelProgram(): AssembledProgram {
  return programOf(fromTunnel);
}

function fromTunnel(assembler: Assembler, layout: FamilyLayout): void {
  const { family } = layout;
  assembler.load('u32', 'r0', 'r6', skb.pktType).jump('r0', '!=', PACKET_HOST, slow('not-routed')); // addressed to our VTEP
  checkHeader(assembler, layout);
  checkHeartbeat(assembler, `IPv${family}`);
  lookUpSubnet(assembler, layout, `peers${family}`, layout.source, 'sender');
  keepPeer(assembler.mov('r9', 'r0')); // the peer that the source belongs to
  compareMac(assembler, SOURCE_MAC, 'r9', peerValue.macs, 'sender');
  lookUp(assembler, layout, `pods${family}`, layout.destination, 'destination');
  keepPointer(assembler, 'r0'); // the destination pod
  checkSize(assembler, layout, `IPv${family}`);
  checkUntracked(assembler, layout, `IPv${family}`);
  keptPointer(assembler, 'r1').load('u32', 'r1', 'r1', podValue.ifindex);
  checkDevice(assembler, 'r1');
  keptPointer(assembler, 'r1');
  writeHeaders(assembler, layout, 'r1', podValue.macs);
  assembler.mov('r1', 1).atomicAdd('r9', peerValue.received, 'r1');
  count(assembler, 'from-peer', `IPv${family}: counted`);
  keptPointer(assembler, 'r1')
    .load('u32', 'r1', 'r1', podValue.ifindex)
    .mov('r2', 0)
    .callHelper('redirect_peer')
    .exit();
}
