// The packets of the tunnel in the underlay, for the programs that make or open them: VXLAN over IPv4 (RFC 7348). Bytes from the start of
// the frame: Ethernet 0, IP 14, UDP 34, VXLAN 42, the inner Ethernet header 50, the inner IP header 64.

import type { Assembler, Register } from '../../../lib/bpf/assembler.ts';
import { ETH_HEADER, layoutOf, stack } from './packet.ts';
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
/** The I flag of VXLAN alone, as a little-endian processor reads the header's first half. */
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
  /** Where the length of the inner Ethernet header is. */
  ethernetShift: 56,
} as const;

/** The outer headers on the stack, up to where `stack.headers` goes on with the inner ones. */
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
