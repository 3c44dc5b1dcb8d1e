// The program at the external interface: it decapsulates packets of the tunnel and hands the inner packets straight to the destination pod,
// past the node's INPUT rules, the tunnel's device, routing, netfilter and bridge. It decapsulates only packets that pass the checks below;
// all others pass unchanged to the kernel's own tunnel. Packets that are not for the tunnel's port are not even counted.

import { type AssembledProgram, Assembler } from '../../../lib/bpf/assembler.ts';
import { PACKET_HOST, skb } from '../../../lib/bpf/skb.ts';
import { podValue } from '../../../lib/pods/fast-path-pods.ts';
import { sumHeader, wrapChecksum } from './checksum.ts';
import {
  checkDevice,
  checkHeader,
  checkHeartbeat,
  checkSize,
  checkUntracked,
  compareMac,
  count,
  countOfPeer,
  ETH_HEADER,
  IPPROTO_UDP,
  keepPeer,
  keepPointer,
  keptPointer,
  leaveToKernel,
  lookUp,
  lookUpSubnet,
  needBytes,
  PORTS_BYTES,
  stack,
} from './common-parts.ts';
import { buildHeaders, changedBytes, storeBytes } from './headers.ts';
import { peerValue } from './layout.ts';
import {
  innerLayout,
  left,
  loadOuterSetting,
  needUdpChecksum,
  outerFrame,
  ROOM_BYTES,
  room,
  VXLAN_FLAGS,
} from './outer.ts';
import { reasons } from './reasons.ts';
import { outerSetting } from './settings.ts';

const IPV4 = 0x0008;
const CSUM_LEVEL_DEC = 2;

export function fromUnderlayProgram(): AssembledProgram {
  const assembler = new Assembler();
  assembler
    .include(isForTunnel)
    .include(checkOuter)
    .include(checkInner)
    .include(checkEcn)
    .include(open)
    .include(giveToPod);
  for (const reason of ['no-checksum', 'no-room', 'outer', 'outer-sender', 'ecn', 'inner'] as const) {
    assembler.label(left(reason)).store('u32', 'r10', stack.key, reasons.indexOf(reason));
    countOfPeer(assembler, 'by-device', left(reason));
    assembler.goto('leave');
  }
  // All failures that concern the inner packet count as one reason here: the program at the tunnel's device sees the same packet and counts
  // it exactly.
  leaveToKernel(assembler, 'inner');
  return assembler.assemble();
}

/** Goes on with UDP packets to the tunnel's port. */
function isForTunnel(assembler: Assembler): void {
  assembler
    .mov('r6', 'r1')
    .store('u64', 'r10', stack.peer, 0)
    .load('u32', 'r7', 'r6', skb.data)
    .load('u32', 'r8', 'r6', skb.dataEnd);
  needBytes(assembler, innerLayout.start + innerLayout.headerBytes + PORTS_BYTES, 'pass');
  assembler
    .load('u16', 'r0', 'r7', 12)
    .jump('r0', '!=', IPV4, 'pass')
    .load('u8', 'r0', 'r7', outerFrame.protocol)
    .jump('r0', '!=', IPPROTO_UDP, 'pass')
    .load('u16', 'r0', 'r7', outerFrame.destinationPort);
  loadOuterSetting(assembler, 'u16', 'r1', 'port');
  assembler
    .jump('r1', '==', 0, 'pass') // the mode is not `full`
    .jump('r0', '!=', 'r1', 'pass');
  checkHeartbeat(assembler, 'tunnel', 'pass');
}

/** Goes on with a whole packet that is addressed to this node and has our VNI. */
function checkOuter(assembler: Assembler): void {
  assembler
    .load('u32', 'r0', 'r6', skb.vlanPresent)
    .jump('r0', '!=', 0, left('outer'))
    .load('u32', 'r0', 'r6', skb.pktType)
    .jump('r0', '!=', PACKET_HOST, left('outer'))
    .load('u8', 'r0', 'r7', outerFrame.ip)
    .jump('r0', '!=', 0x45, left('outer'))
    .load('u16', 'r0', 'r7', outerFrame.fragment)
    .jump('r0', '&', 0xff3f, left('outer'))
    .load('u16', 'r0', 'r7', outerFrame.totalLength)
    .fromNetwork('r0', 16)
    .load('u32', 'r1', 'r6', skb.len)
    .sub('r1', ETH_HEADER)
    .jump('r0', '!=', 'r1', left('outer'))
    .load('u16', 'r1', 'r7', outerFrame.udpLength)
    .fromNetwork('r1', 16)
    .add('r1', 20)
    .jump('r0', '!=', 'r1', left('outer'));
  sumHeader(assembler, 'r7', outerFrame.ip);
  assembler
    .jump('r0', '!=', 0xffff, left('outer'))
    .load('u8', 'r0', 'r7', outerFrame.ttl)
    .jump('r0', '==', 0, left('outer'))
    .load('u32', 'r0', 'r7', outerFrame.flags)
    .jump('r0', '!=', VXLAN_FLAGS, left('outer'))
    .load('u32', 'r0', 'r7', outerFrame.vni);
  loadOuterSetting(assembler, 'u32', 'r1', 'vni');
  assembler.jump('r0', '!=', 'r1', left('outer')).load('u32', 'r0', 'r7', outerFrame.destination);
  loadOuterSetting(assembler, 'u32', 'r1', 'local');
  assembler.jump('r0', '!=', 'r1', left('outer'));
}

/** Goes on with a packet from a pod of the sending peer to a pod of ours, if no tracked connection has its addresses and ports. */
function checkInner(assembler: Assembler): void {
  const { innerEthernet } = outerFrame;
  assembler
    .load('u16', 'r0', 'r7', innerEthernet + 12)
    .jump('r0', '!=', IPV4, left('inner'))
    .loadMapValue('r3', 'settings', 0);
  compareMac(assembler, innerEthernet, 'r3', outerSetting.ownMac, 'not-routed');
  checkHeader(assembler, innerLayout);
  // The pod's kernel verifies the inner checksum, which covers everything that the outer one does.
  needUdpChecksum(assembler, innerLayout);
  lookUpSubnet(assembler, innerLayout, 'peers4', innerLayout.source, 'sender');
  assembler
    .mov('r9', 'r0') // the peer that the source belongs to
    .include(keepPeer)
    .load('u32', 'r0', 'r7', outerFrame.source)
    .load('u32', 'r1', 'r9', peerValue.outer)
    .jump('r0', '!=', 'r1', left('outer-sender'));
  compareMac(assembler, innerEthernet + 6, 'r9', peerValue.macs, 'sender');
  lookUp(assembler, innerLayout, 'pods4', innerLayout.destination, 'destination');
  keepPointer(assembler, 'r0'); // the destination pod
  checkSize(assembler, innerLayout, 'inner');
  checkUntracked(assembler, innerLayout, 'inner');
  keptPointer(assembler, 'r1').load('u32', 'r1', 'r1', podValue.ifindex);
  checkDevice(assembler, 'r1');
}

/** An outer mark of congestion must be copied to the inner packet (RFC 6040 §4.2): the new mark, or 0, is kept in `stack.size`. */
function checkEcn(assembler: Assembler): void {
  assembler
    .load('u8', 'r0', 'r7', outerFrame.tos)
    .and('r0', 3)
    .load('u8', 'r1', 'r7', innerLayout.start + 1)
    .and('r1', 3)
    .store('u32', 'r10', stack.size, 0)
    .jump('r0', '==', 'r1', 'same ECN')
    .jump('r1', '==', 0, left('ecn')) // the inner packet cannot be marked
    .jump('r0', '!=', 3, left('ecn'))
    .mov('r0', 3)
    .include((part) => subtract(part, 'r0', 'r1'))
    .store('u32', 'r10', stack.size, 'r0')
    .label('same ECN');
}

/** Subtracts by adding the two's complement. */
function subtract(assembler: Assembler, from: 'r0', value: 'r1'): void {
  assembler.xor(value, -1).add(from, value).add(from, 1);
}

/** Removes the outer headers and writes the Ethernet addresses and the ttl that a router would write. */
function open(assembler: Assembler): void {
  const put = (at: number) => stack.headers + at;
  keptPointer(assembler, 'r1');
  buildHeaders(assembler, innerLayout, 'r1', podValue.macs, 'open');
  assembler
    .load('u32', 'r1', 'r10', stack.size)
    .jump('r1', '==', 0, 'not congested')
    .load('u8', 'r0', 'r10', put(15))
    .or('r0', 3)
    .store('u8', 'r10', put(15), 'r0')
    .shiftLeft('r1', 8) // the second byte of its word
    .mov('r0', 0xffff)
    .include((part) => subtract(part, 'r0', 'r1'))
    .load('u16', 'r1', 'r10', put(24))
    .add('r0', 'r1');
  wrapChecksum(assembler, 'congested');
  assembler
    .store('u16', 'r10', put(24), 'r0')
    .label('not congested')
    .mov('r1', 'r6')
    .mov('r2', -ROOM_BYTES)
    .mov('r3', room.mac)
    .mov('r4', room.fixedGso | room.noCsumReset)
    .callHelper('skb_adjust_room')
    .jump32('r0', '!=', 0, left('no-room'))
    // The device has verified the outer checksum only. So the packet is marked as not verified, as the kernel's own tunnel does.
    .mov('r1', 'r6')
    .mov('r2', CSUM_LEVEL_DEC)
    .callHelper('csum_level');
  // This write cannot fail, because the call above has made these bytes writable.
  storeBytes(assembler, stack.headers, 0, changedBytes(innerLayout));
}

function giveToPod(assembler: Assembler): void {
  assembler.mov('r1', 1).atomicAdd('r9', peerValue.received, 'r1');
  count(assembler, 'decapsulated', 'decapsulated: counted');
  keptPointer(assembler, 'r1')
    .load('u32', 'r1', 'r1', podValue.ifindex)
    .mov('r2', 0)
    .callHelper('redirect_peer')
    .exit();
}
