// The part of the program at pods' veths that encapsulates IPv4 packets to peers as the tunnel's device does, and sends them to the next
// hop of the kernel's routing. Packets that it cannot encapsulate go to the tunnel's device. The one difference on the wire: the outer UDP
// checksum is 0 (RFC 7348 §5), because a program cannot see whether the inner one is computed yet.

import type { Assembler } from '../../../lib/bpf/assembler.ts';
import { skb } from '../../../lib/bpf/skb.ts';
import { sumHeader } from './checksum.ts';
import { count, countOfPeer, type FamilyLayout, IPPROTO_UDP, needBytes, slow, stack } from './common-parts.ts';
import { buildHeaders, changedBytes, storeBytes } from './headers.ts';
import { peerValue } from './layout.ts';
import {
  left,
  loadOuterSetting,
  needUdpChecksum,
  outerAt,
  outerFrame,
  ROOM_BYTES,
  room,
  VXLAN_FLAGS,
} from './outer.ts';

const AF_INET = 2;
/**
 * Flags of bpf_fib_lookup: look up as for a packet of the node itself, and leave the neighbour out, which is looked up when the packet is
 * sent.
 */
const FIB_LOOKUP = 0b110;
/** struct bpf_fib_lookup. */
const fib = { bytes: 64, at: -240, family: 0, protocol: 1, sourcePort: 2, destinationPort: 4 } as const;
const fibRest = { totalLength: 6, ifindex: 8, source: 16, destination: 32 } as const;
/** struct bpf_redir_neigh: u32 family, then the address. */
const nextHop = { bytes: 20, at: -264 } as const;
/** u64 on the stack: the time. */
const now = -296;
const LARGEST_PACKET = 0xffff;

/**
 * Encapsulates and redirects the packet. Where that is not possible it jumps to `otherwise`, with the packet unchanged and r7 valid. r9 is
 * the peer.
 */
export function encapsulate(assembler: Assembler, layout: FamilyLayout, otherwise: string): void {
  loadOuterSetting(assembler, 'u16', 'r1', 'port');
  assembler
    .jump('r1', '==', 0, otherwise)
    .load('u32', 'r1', 'r9', peerValue.outer)
    .jump('r1', '==', 0, otherwise)
    .include((part) => needUdpChecksum(part, layout))
    .include(chooseSourcePort)
    .include(findRoute)
    .include(buildOuter)
    .include((part) => buildHeaders(part, layout, 'r9', peerValue.macs, 'encapsulate'))
    .include(makeRoom);
  // This write cannot fail, because the call above has made these bytes writable. The Ethernet header in front is left out: the kernel
  // writes it.
  storeBytes(
    assembler,
    outerAt(outerFrame.ip),
    outerFrame.ip,
    outerFrame.innerEthernet - outerFrame.ip + changedBytes(layout),
  );
  assembler.mov('r1', 1).atomicAdd('r9', peerValue.sent, 'r1');
  count(assembler, 'encapsulated', 'encapsulate: counted');
  loadOuterSetting(assembler, 'u32', 'r1', 'underlayIfindex');
  assembler
    .mov('r2', 'r10')
    .add('r2', nextHop.at)
    .mov('r3', nextHop.bytes)
    .mov('r4', 0)
    .callHelper('redirect_neigh')
    .exit();
  for (const reason of ['no-checksum', 'no-hash', 'no-route', 'no-room'] as const) {
    assembler.label(left(reason));
    countOfPeer(assembler, 'by-device', left(reason));
    count(assembler, reason, `left: ${reason} counted`);
    assembler.goto('left');
  }
  assembler.label('left').load('u32', 'r7', 'r6', skb.data).load('u32', 'r8', 'r6', skb.dataEnd);
  needBytes(assembler, layout.start + layout.headerBytes, slow('short'));
  assembler.goto(otherwise);
}

/**
 * Computes the source port as udp_flow_src_port() of the kernel does for the tunnel's device, so that a flow keeps its way through the
 * underlay whether a program or the device encapsulates.
 */
function chooseSourcePort(assembler: Assembler): void {
  assembler
    .mov('r1', 'r6')
    .callHelper('get_hash_recalc')
    .and32('r0', 0xffff_ffff)
    .jump('r0', '==', 0, left('no-hash'))
    .mov('r1', 'r0')
    .shiftLeft('r1', 16)
    .xor('r0', 'r1')
    .and32('r0', 0xffff_ffff);
  loadOuterSetting(assembler, 'u32', 'r1', 'portCount');
  assembler.multiply('r0', 'r1').shiftRight('r0', 32);
  loadOuterSetting(assembler, 'u32', 'r1', 'firstPort');
  assembler.add('r0', 'r1').fromNetwork('r0', 16).store('u16', 'r10', outerAt(outerFrame.sourcePort), 'r0');
}

/**
 * Finds the next hop and checks that the packet fits the MTU of the way. The kernel's answer is kept for some milliseconds, because to ask
 * for each packet takes a quarter of the program's time. Two processors that write at once can only keep an old answer for one more such
 * period.
 */
function findRoute(assembler: Assembler): void {
  loadOuterSetting(assembler, 'u16', 'r1', 'port');
  assembler.store('u16', 'r10', outerAt(outerFrame.destinationPort), 'r1');
  loadOuterSetting(assembler, 'u32', 'r1', 'local');
  assembler
    .store('u32', 'r10', outerAt(outerFrame.source), 'r1')
    .load('u32', 'r1', 'r9', peerValue.outer)
    .store('u32', 'r10', outerAt(outerFrame.destination), 'r1')
    .callHelper('ktime_get_coarse_ns')
    .store('u64', 'r10', now, 'r0')
    .load('u64', 'r1', 'r9', peerValue.wayUntil)
    .jump('r0', '<', 'r1', 'way known')
    .include(askRoute)
    .label('way known')
    .load('u32', 'r1', 'r10', stack.size)
    .add('r1', ROOM_BYTES)
    .load('u32', 'r2', 'r9', peerValue.wayMtu)
    .jump('r1', '>', 'r2', left('no-route'))
    .store('u32', 'r10', nextHop.at, AF_INET)
    .load('u32', 'r1', 'r9', peerValue.nextHop)
    .store('u32', 'r10', nextHop.at + 4, 'r1');
  for (let at = 8; at < nextHop.bytes; at += 4) assembler.store('u32', 'r10', nextHop.at + at, 0);
}

/** Asks with the smallest length, so that the kernel always answers and says the MTU. */
function askRoute(assembler: Assembler): void {
  for (let at = 0; at < fib.bytes; at += 8) assembler.store('u64', 'r10', fib.at + at, 0);
  assembler
    .store('u8', 'r10', fib.at + fib.family, AF_INET)
    .store('u8', 'r10', fib.at + fib.protocol, IPPROTO_UDP)
    .load('u16', 'r1', 'r10', outerAt(outerFrame.sourcePort))
    .store('u16', 'r10', fib.at + fib.sourcePort, 'r1')
    .load('u16', 'r1', 'r10', outerAt(outerFrame.destinationPort))
    .store('u16', 'r10', fib.at + fib.destinationPort, 'r1')
    .store('u16', 'r10', fib.at + fibRest.totalLength, 1)
    .load('u32', 'r1', 'r10', outerAt(outerFrame.source))
    .store('u32', 'r10', fib.at + fibRest.source, 'r1')
    .load('u32', 'r1', 'r10', outerAt(outerFrame.destination))
    .store('u32', 'r10', fib.at + fibRest.destination, 'r1');
  loadOuterSetting(assembler, 'u32', 'r1', 'underlayIfindex');
  assembler
    .store('u32', 'r10', fib.at + fibRest.ifindex, 'r1')
    .mov('r1', 'r6')
    .mov('r2', 'r10')
    .add('r2', fib.at)
    .mov('r3', fib.bytes)
    .mov('r4', FIB_LOOKUP)
    .callHelper('fib_lookup')
    .jump32('r0', '!=', 0, left('no-route'))
    .load('u8', 'r1', 'r10', fib.at + fib.family)
    .jump('r1', '!=', AF_INET, left('no-route')) // the next hop has an IPv6 address
    .load('u32', 'r1', 'r10', fib.at + fibRest.ifindex);
  loadOuterSetting(assembler, 'u32', 'r2', 'underlayIfindex');
  assembler
    .jump('r1', '!=', 'r2', left('no-route'))
    .load('u32', 'r1', 'r10', fib.at + fibRest.destination)
    .store('u32', 'r9', peerValue.nextHop, 'r1')
    .load('u16', 'r1', 'r10', fib.at + fibRest.totalLength)
    .store('u32', 'r9', peerValue.wayMtu, 'r1')
    .load('u64', 'r1', 'r10', now);
  loadOuterSetting(assembler, 'u32', 'r2', 'keepWayNs');
  assembler.add('r1', 'r2').store('u64', 'r9', peerValue.wayUntil, 'r1');
}

/** Builds the rest of the outer headers on the stack, as the kernel's vxlan_xmit() does. */
function buildOuter(assembler: Assembler): void {
  const { ip, tos, totalLength, id, fragment, ttl, checksum, udpLength, udpChecksum, flags, vni } = outerFrame;
  assembler
    .load('u32', 'r1', 'r6', skb.len)
    .add('r1', ROOM_BYTES - ip)
    .jump('r1', '>', LARGEST_PACKET, left('no-room'))
    .mov('r2', 'r1')
    .fromNetwork('r1', 16)
    .store('u16', 'r10', outerAt(totalLength), 'r1')
    .sub('r2', 20)
    .fromNetwork('r2', 16)
    .store('u16', 'r10', outerAt(udpLength), 'r2')
    .load('u8', 'r1', 'r7', tos)
    .and('r1', 3) // ECN
    .jump('r1', '!=', 3, 'not congested')
    .mov('r1', 2) // the kernel turns "congestion experienced" into ECT(0)
    .label('not congested')
    .store('u8', 'r10', outerAt(ip), 0x45)
    .store('u8', 'r10', outerAt(tos), 'r1')
    .store('u16', 'r10', outerAt(fragment), 0)
    .store('u8', 'r10', outerAt(ttl + 1), IPPROTO_UDP)
    .store('u16', 'r10', outerAt(checksum), 0)
    .store('u16', 'r10', outerAt(udpChecksum), 0)
    .store('u32', 'r10', outerAt(flags), VXLAN_FLAGS);
  loadOuterSetting(assembler, 'u32', 'r1', 'ttl');
  assembler.store('u8', 'r10', outerAt(ttl), 'r1');
  loadOuterSetting(assembler, 'u32', 'r1', 'vni');
  assembler
    .store('u32', 'r10', outerAt(vni), 'r1')
    .callHelper('get_prandom_u32')
    .store('u16', 'r10', outerAt(id), 'r0');
  sumHeader(assembler, 'r10', outerAt(ip));
  assembler.xor('r0', 0xffff).store('u16', 'r10', outerAt(checksum), 'r0');
}

function makeRoom(assembler: Assembler): void {
  const { encapIpv4, encapUdp, encapEthernet, fixedGso } = room;
  assembler
    .mov('r1', 'r6')
    .mov('r2', ROOM_BYTES)
    .mov('r3', room.mac)
    .mov('r4', 14)
    .shiftLeft('r4', room.ethernetShift)
    .or('r4', encapIpv4 | encapUdp | encapEthernet | fixedGso)
    .callHelper('skb_adjust_room')
    .jump32('r0', '!=', 0, left('no-room'));
}
