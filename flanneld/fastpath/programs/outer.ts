// The tunnel's packets in the underlay, for the programs that encapsulate or decapsulate them: VXLAN over IPv4 (RFC 7348). Offsets from the
// start of the frame: Ethernet 0, IP 14, UDP 34, VXLAN 42, inner Ethernet header 50, inner IP header 64.

import type { Assembler, Register } from '../../../lib/bpf/assembler.ts';
import { ETH_HEADER, type FamilyLayout, IPPROTO_UDP, layoutOf, needBytes, stack } from './common-parts.ts';
import type { TunnelReason } from './reasons.ts';
import { outerSetting } from './settings.ts';

export const outerFrame = {
  ip: ETH_HEADER,
  tos: 15,
  totalLength: 16,
  id: 18,
  fragment: 20,
  ttl: 22,
  protocol: 23,
  checksum: 24,
  source: 26,
  destination: 30,
  sourcePort: 34,
  destinationPort: 36,
  udpLength: 38,
  udpChecksum: 40,
  flags: 42,
  vni: 46,
  innerEthernet: 50,
} as const;

/** What encapsulation adds in front of the IP header: IP 20, UDP 8, VXLAN 8, Ethernet 14. */
export const ROOM_BYTES = 50;
/** VXLAN flags with only the I flag set: the header's first word as a little-endian processor reads it. */
export const VXLAN_FLAGS = 0x08;

/** The inner packet. */
export const innerLayout = layoutOf(4, ETH_HEADER + ROOM_BYTES);

/** Flags of bpf_skb_adjust_room (linux/bpf.h). */
export const room = {
  mac: 1,
  fixedGso: 1 << 0,
  encapIpv4: 1 << 1,
  encapUdp: 1 << 4,
  noCsumReset: 1 << 5,
  encapEthernet: 1 << 6,
  /** Where bpf_skb_adjust_room takes the length of the inner Ethernet header from its flags. */
  ethernetShift: 56,
} as const;

/** Where the outer headers begin on the stack; the inner ones follow at `stack.headers`. */
const OUTER_AT = stack.headers - outerFrame.innerEthernet;
export const outerAt = (at: number): number => OUTER_AT + at;

export function loadOuterSetting(
  assembler: Assembler,
  size: 'u16' | 'u32',
  register: Register,
  name: keyof typeof outerSetting,
): void {
  assembler.loadMapValue(register, 'settings', outerSetting[name]).load(size, register, register, 0);
}

/** The label at which a packet is left to the tunnel's device. */
export const left = (reason: TunnelReason): string => `left: ${reason}`;

/**
 * Leaves a datagram without a UDP checksum of its own to the tunnel's device; TCP always has one. Only the inner checksum protects a packet
 * here: the programs write an outer checksum of 0, and do not verify the outer one of packets that arrive. Overwrites r1; r7 is the packet.
 */
export function needUdpChecksum(assembler: Assembler, { start, headerBytes, protocol }: FamilyLayout): void {
  const transport = start + headerBytes;
  assembler.load('u8', 'r1', 'r7', protocol).jump('r1', '!=', IPPROTO_UDP, 'has checksum');
  needBytes(assembler, transport + 8, left('no-checksum'));
  assembler
    .load('u16', 'r1', 'r7', transport + 6)
    .jump('r1', '==', 0, left('no-checksum'))
    .label('has checksum');
}
