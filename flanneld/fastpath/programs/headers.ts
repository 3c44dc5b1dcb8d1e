// What the programs write into a packet: new headers, built on the stack.

import type { Assembler, Register } from '../../../lib/bpf/assembler.ts';
import { wrapChecksum } from './checksum.ts';
import { ETH_HEADER, ETH_TYPE, type FamilyLayout, slow, stack } from './common-parts.ts';

/**
 * Writes what a router writes: the MAC addresses at `offset` of the element, and a ttl less by 1 with its checksum. The bytes are built on
 * the stack and written by one call, which either succeeds or changes nothing. r7 and r8 become invalid.
 */
export function writeHeaders(assembler: Assembler, layout: FamilyLayout, element: Register, offset: number): void {
  buildHeaders(assembler, layout, element, offset, `IPv${layout.family}: written`);
  storeBytes(assembler, stack.headers, 0, changedBytes(layout));
  assembler.jump('r0', '!=', 0, slow('unwritable'));
}

/** The number of bytes that change: the Ethernet header, and the IP header up to the ttl and (IPv4) its checksum. */
export function changedBytes({ family }: FamilyLayout): number {
  return family === 4 ? ETH_HEADER + 12 : ETH_HEADER + 8;
}

/** Builds on the stack what `writeHeaders` writes, as a frame that begins with the Ethernet header in front of the IP header. */
export function buildHeaders(
  assembler: Assembler,
  layout: FamilyLayout,
  element: Register,
  offset: number,
  path: string,
): void {
  const { start, family, ttl, protocol } = layout;
  const put = (at: number) => stack.headers + ETH_HEADER + at - start;
  for (let at = 0; at < 12; at += 2) {
    assembler.load('u16', 'r0', element, offset + at).store('u16', 'r10', stack.headers + at, 'r0');
  }
  assembler.store('u16', 'r10', stack.headers + ETH_TYPE, layout.etherType);
  const before = ttl - (ttl % 2);
  for (let at = start; at < before; at += 2) {
    assembler.load('u16', 'r0', 'r7', at).store('u16', 'r10', put(at), 'r0');
  }
  if (before < ttl) assembler.load('u8', 'r0', 'r7', before).store('u8', 'r10', put(before), 'r0');
  assembler.load('u8', 'r0', 'r7', ttl).sub('r0', 1).store('u8', 'r10', put(ttl), 'r0');
  if (family !== 4) return;
  assembler
    .load('u8', 'r0', 'r7', protocol)
    .store('u8', 'r10', put(protocol), 'r0')
    .load('u16', 'r0', 'r7', start + 10)
    .add('r0', 1);
  wrapChecksum(assembler, path);
  assembler.store('u16', 'r10', put(start + 10), 'r0');
}

/** Writes bytes of the stack into the packet. r0 becomes 0, or an error when nothing was written. r7 and r8 become invalid. */
export function storeBytes(assembler: Assembler, from: number, to: number, bytes: number): void {
  assembler
    .mov('r1', 'r6')
    .mov('r2', to)
    .mov('r3', 'r10')
    .add('r3', from)
    .mov('r4', bytes)
    .mov('r5', 0)
    .callHelper('skb_store_bytes');
}
