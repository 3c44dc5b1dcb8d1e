// Instructions for programs that compute checksums of IPv4 headers (RFC 1071, RFC 1624).

import type { Assembler, Register } from '../../../lib/bpf/assembler.ts';

/** r0 = the sum of the 20 bytes of an IPv4 header as RFC 1071 adds them up. Changes r1. */
export function sumHeader(assembler: Assembler, base: Register | 'r10', at: number): void {
  assembler.load('u32', 'r0', base, at);
  for (const word of [4, 8, 12, 16]) assembler.load('u32', 'r1', base, at + word).add('r0', 'r1');
  // Adds the carries: 35 bits become 33, 18, 17 and then 16.
  assembler.mov('r1', 'r0').shiftRight('r1', 32).and32('r0', 0xffff_ffff).add('r0', 'r1');
  for (let fold = 0; fold < 3; fold++) assembler.mov('r1', 'r0').shiftRight('r1', 16).and('r0', 0xffff).add('r0', 'r1');
}

/** Brings r0, a checksum to which something was added, back between 0 and 0xfffe, as the kernel's ip_decrease_ttl() does. */
export function wrapChecksum(assembler: Assembler, path: string): void {
  assembler.jump('r0', '<', 0xffff, `${path}: no carry`).sub('r0', 0xffff).label(`${path}: no carry`);
}
