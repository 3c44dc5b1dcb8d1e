// The parts that both programs have in common, in the order in which they use them. Registers from the first part on:
//
//   r6  the packet's struct __sk_buff
//   r7  its first byte, the Ethernet header's; valid until its bytes are written
//   r8  the byte behind what of it lies in one piece
//   r9  the element of a map, once one is found
//
// Stack, counted from r10: see `stack`. A label `slow: REASON` is where a packet is left to the kernel. No part returns another
// verdict than TC_ACT_UNSPEC before the packet is about to be redirected, so that no program can drop one.

import { type AssembledProgram, Assembler, type Register } from '../../../lib/bpf/assembler.ts';
import { skb, TC_ACT_UNSPEC } from '../../../lib/bpf/skb.ts';
import type { Family } from '../../../lib/ip.ts';
import { type Reason, reasons, type SlowReason, slowReasons } from './reasons.ts';
import { setting, settingAt } from './settings.ts';

const ETH_HEADER = 14;
const ETH_TYPE = 12;
const IPPROTO_TCP = 6;
const IPPROTO_UDP = 17;
/** TCP or UDP ports behind an IP header. */
const PORTS_BYTES = 4;
/** The byte of a TCP header whose upper half is its length in words. */
const TCP_LENGTH_AT = 12;
const ENOENT = 2;

const stack = {
  /** A pointer into a map. */
  pointer: -8,
  /** A key: an address, or the number of a reason. */
  key: -32,
  /** struct bpf_sock_tuple: addresses and ports. */
  tuple: -72,
  /** struct bpf_ct_opts: s32 netns_id, s32 error, u8 l4proto, u8 dir, u8 reserved[2]. */
  options: -88,
  /** The new headers as far as they change: Ethernet, and IP up to the ttl and its checksum. */
  headers: -120,
} as const;
const OPTIONS_BYTES = 12;

/** Where a family has what: bytes from the start of the frame. */
export interface FamilyLayout {
  readonly family: Family;
  /** The EtherType as a little-endian processor reads it. */
  readonly etherType: number;
  readonly headerBytes: number;
  readonly source: number;
  readonly destination: number;
  readonly addressWords: number;
  readonly protocol: number;
  readonly ttl: number;
}

const families: Record<Family, FamilyLayout> = {
  4: {
    family: 4,
    etherType: 0x0008,
    headerBytes: 20,
    source: ETH_HEADER + 12,
    destination: ETH_HEADER + 16,
    addressWords: 1,
    protocol: ETH_HEADER + 9,
    ttl: ETH_HEADER + 8,
  },
  6: {
    family: 6,
    etherType: 0xdd86,
    headerBytes: 40,
    source: ETH_HEADER + 8,
    destination: ETH_HEADER + 24,
    addressWords: 4,
    protocol: ETH_HEADER + 6,
    ttl: ETH_HEADER + 7,
  },
};

export const slow = (reason: SlowReason): string => `slow: ${reason}`;

/** A whole program: `part` adds what it does with packets of a family. */
export function programOf(part: (assembler: Assembler, layout: FamilyLayout) => void): AssembledProgram {
  const assembler = new Assembler();
  start(assembler);
  for (const layout of Object.values(families)) {
    assembler.label(`IPv${layout.family}`);
    loadSetting(assembler, 'r0', layout, 'mtu');
    assembler.jump('r0', '==', 0, slow('not-ip')); // a family that this node's pods do not have
    part(assembler, layout);
  }
  leaveToKernel(assembler);
  return assembler.assemble();
}

/** The packet's pointers, and to the part of its family. */
function start(assembler: Assembler): void {
  assembler
    .mov('r6', 'r1')
    .load('u32', 'r7', 'r6', skb.data)
    .load('u32', 'r8', 'r6', skb.dataEnd)
    .load('u32', 'r0', 'r6', skb.vlanPresent)
    .jump('r0', '!=', 0, slow('vlan'));
  needBytes(assembler, ETH_HEADER, slow('not-ip'));
  assembler.load('u16', 'r0', 'r7', ETH_TYPE);
  for (const { etherType, family } of Object.values(families)) assembler.jump('r0', '==', etherType, `IPv${family}`);
  assembler.goto(slow('not-ip'));
}

/** A setting of the family, of which an address has several words. */
export function loadSetting(
  assembler: Assembler,
  register: Register,
  { family }: FamilyLayout,
  name: keyof typeof setting,
  word = 0,
): void {
  assembler.loadMapValue(register, 'settings', settingAt(family, setting[name]) + 4 * word);
  assembler.load('u32', register, register, 0);
}

/** Goes on only with whole TCP and UDP packets without options that live on behind the next router. */
export function checkHeader(assembler: Assembler, layout: FamilyLayout): void {
  needBytes(assembler, ETH_HEADER + layout.headerBytes + PORTS_BYTES, slow('short'));
  if (layout.family === 4) checkIpv4(assembler);
  else checkIpv6(assembler);
  assembler
    .load('u8', 'r0', 'r7', layout.ttl)
    .jump('r0', '<', 2, slow('ttl'))
    .load('u8', 'r0', 'r7', layout.protocol)
    .jump('r0', '==', IPPROTO_TCP, `IPv${layout.family}: ports`)
    .jump('r0', '!=', IPPROTO_UDP, slow('protocol'))
    .label(`IPv${layout.family}: ports`);
}

function checkIpv4(assembler: Assembler): void {
  assembler
    .load('u8', 'r0', 'r7', ETH_HEADER)
    .jump('r0', '!=', 0x45, slow('options')) // version 4, five words
    .load('u16', 'r0', 'r7', ETH_HEADER + 6)
    .jump('r0', '&', 0xff3f, slow('fragment')) // more fragments, or an offset: 0x3fff in network order
    .load('u16', 'r0', 'r7', ETH_HEADER + 2)
    .fromNetwork('r0', 16) // the total length
    .load('u32', 'r1', 'r6', skb.len)
    .sub('r1', ETH_HEADER)
    .jump('r0', '!=', 'r1', slow('length'))
    .load('u32', 'r0', 'r7', ETH_HEADER);
  for (const word of [4, 8, 12, 16]) assembler.load('u32', 'r1', 'r7', ETH_HEADER + word).add('r0', 'r1');
  // The carries: 35 bits become 33, 18, 17 and then 16.
  assembler.mov('r1', 'r0').shiftRight('r1', 32).and32('r0', 0xffff_ffff).add('r0', 'r1');
  for (let fold = 0; fold < 3; fold++) assembler.mov('r1', 'r0').shiftRight('r1', 16).and('r0', 0xffff).add('r0', 'r1');
  assembler.jump('r0', '!=', 0xffff, slow('checksum'));
}

function checkIpv6(assembler: Assembler): void {
  assembler
    .load('u8', 'r0', 'r7', ETH_HEADER)
    .and('r0', 0xf0)
    .jump('r0', '!=', 0x60, slow('options')) // version 6
    .load('u16', 'r0', 'r7', ETH_HEADER + 4)
    .fromNetwork('r0', 16) // the length behind the header
    .load('u32', 'r1', 'r6', skb.len)
    .sub('r1', ETH_HEADER + 40)
    .jump('r0', '!=', 'r1', slow('length'));
}

/** Goes on only while the agent lives and wants it. */
export function checkHeartbeat(assembler: Assembler): void {
  assembler
    .callHelper('ktime_get_ns')
    .loadMapValue('r1', 'state', 0)
    .load('u64', 'r1', 'r1', 0) // until when
    .jump('r0', '>=', 'r1', slow('paused'));
}

/** `path` begins the labels of parts that a program has more than once. Goes on only with what fits: a packet, or each segment of one that is to be segmented. UDP segments may be those of a tunnel. */
export function checkSize(assembler: Assembler, layout: FamilyLayout, path: string): void {
  const at = (label: string) => `${path}: ${label}`;
  const transport = ETH_HEADER + layout.headerBytes;
  assembler
    .load('u32', 'r0', 'r6', skb.gsoSize)
    .jump('r0', '!=', 0, at('segments'))
    .load('u32', 'r0', 'r6', skb.len)
    .sub('r0', ETH_HEADER)
    .goto(at('compare'))
    .label(at('segments'))
    .load('u8', 'r1', 'r7', layout.protocol)
    .jump('r1', '!=', IPPROTO_TCP, slow('segmented-udp'));
  needBytes(assembler, transport + TCP_LENGTH_AT + 1, slow('short'));
  assembler
    .load('u8', 'r1', 'r7', transport + TCP_LENGTH_AT)
    .shiftRight('r1', 4)
    .shiftLeft('r1', 2) // the TCP header
    .add('r0', 'r1')
    .add('r0', layout.headerBytes)
    .label(at('compare'));
  loadSetting(assembler, 'r1', layout, 'mtu');
  assembler.jump('r0', '>', 'r1', slow('size'));
}

/** Looks an address of the packet up in a map: r0 is the element. Changes r1–r5. */
export function lookUp(
  assembler: Assembler,
  layout: FamilyLayout,
  map: string,
  address: number,
  missing: SlowReason,
): void {
  for (let word = 0; word < layout.addressWords; word++) {
    assembler.load('u32', 'r1', 'r7', address + 4 * word).store('u32', 'r10', stack.key + 4 * word, 'r1');
  }
  lookUpKey(assembler, map, missing);
}

/** As `lookUp`, with only the bits of the address that a subnet has. */
export function lookUpSubnet(
  assembler: Assembler,
  layout: FamilyLayout,
  map: string,
  address: number,
  missing: SlowReason,
): void {
  for (let word = 0; word < layout.addressWords; word++) {
    loadSetting(assembler, 'r2', layout, 'mask', word);
    assembler
      .load('u32', 'r1', 'r7', address + 4 * word)
      .and('r1', 'r2')
      .store('u32', 'r10', stack.key + 4 * word, 'r1');
  }
  lookUpKey(assembler, map, missing);
}

function lookUpKey(assembler: Assembler, map: string, missing: SlowReason): void {
  assembler
    .loadMap('r1', map)
    .mov('r2', 'r10')
    .add('r2', stack.key)
    .callHelper('map_lookup_elem')
    .jump('r0', '==', 0, slow(missing));
}

/** Goes on only when the MAC address at `frame` of the packet is that at `offset` of the element in `element`. */
export function compareMac(
  assembler: Assembler,
  frame: number,
  element: Register,
  offset: number,
  other: SlowReason,
): void {
  for (const at of [0, 2, 4]) {
    assembler
      .load('u16', 'r1', 'r7', frame + at)
      .load('u16', 'r2', element, offset + at)
      .jump('r1', '!=', 'r2', slow(other));
  }
}

export const keepPointer = (assembler: Assembler, register: Register): Assembler =>
  assembler.store('u64', 'r10', stack.pointer, register);
export const keptPointer = (assembler: Assembler, register: Register): Assembler =>
  assembler.load('u64', register, 'r10', stack.pointer);

/**
 * Goes on only when the kernel tracks no connection with these addresses and ports in this direction. If it does, it may have to
 * translate the packet, or somebody may want to see it; and a connection whose packets it sees only now and then becomes invalid.
 */
export function checkUntracked(assembler: Assembler, layout: FamilyLayout, path: string): void {
  const words = 2 * layout.addressWords + 1;
  for (let word = 0; word < words; word++) {
    // Ports are right behind the addresses in both families, as in the tuple.
    assembler.load('u32', 'r0', 'r7', layout.source + 4 * word).store('u32', 'r10', stack.tuple + 4 * word, 'r0');
  }
  assembler
    .store('u32', 'r10', stack.options, -1) // this network namespace
    .store('u32', 'r10', stack.options + 4, 0)
    .load('u8', 'r0', 'r7', layout.protocol)
    .store('u32', 'r10', stack.options + 8, 'r0')
    .mov('r1', 'r6')
    .mov('r2', 'r10')
    .add('r2', stack.tuple)
    .mov('r3', 4 * words)
    .mov('r4', 'r10')
    .add('r4', stack.options)
    .mov('r5', OPTIONS_BYTES)
    .callKernel('bpf_skb_ct_lookup')
    .jump('r0', '==', 0, `${path}: no entry`)
    .mov('r1', 'r0')
    .callKernel('bpf_ct_release')
    .goto(slow('tracked'))
    .label(`${path}: no entry`)
    .load('u32', 'r0', 'r10', stack.options + 4) // why there is none
    .jump32('r0', '!=', -ENOENT, slow('conntrack'));
}

/**
 * Writes what a router writes: the MAC addresses at `offset` of the element in r9, and a ttl less by 1 with its checksum. The bytes are
 * put together on the stack and written by one call, which either succeeds or changes nothing. r7 and r8 are lost.
 */
export function writeHeaders(assembler: Assembler, layout: FamilyLayout, element: Register, offset: number): void {
  const put = (at: number) => stack.headers + at;
  for (let at = 0; at < 12; at += 2) {
    assembler.load('u16', 'r0', element, offset + at).store('u16', 'r10', put(at), 'r0');
  }
  assembler.store('u16', 'r10', put(ETH_TYPE), layout.etherType);
  const before = layout.ttl - (layout.ttl % 2);
  for (let at = ETH_HEADER; at < before; at += 2) {
    assembler.load('u16', 'r0', 'r7', at).store('u16', 'r10', put(at), 'r0');
  }
  if (before < layout.ttl) assembler.load('u8', 'r0', 'r7', before).store('u8', 'r10', put(before), 'r0');
  assembler.load('u8', 'r0', 'r7', layout.ttl).sub('r0', 1).store('u8', 'r10', put(layout.ttl), 'r0');
  let end = layout.ttl + 1;
  if (layout.family === 4) {
    end = ETH_HEADER + 12;
    assembler
      .load('u8', 'r0', 'r7', layout.protocol)
      .store('u8', 'r10', put(layout.protocol), 'r0')
      .load('u16', 'r0', 'r7', ETH_HEADER + 10)
      .jump('r0', '<', 0xffff, 'IPv4: no carry') // as ip_decrease_ttl() of the kernel: 0xffff becomes 1
      .mov('r0', 0)
      .label('IPv4: no carry')
      .add('r0', 1)
      .store('u16', 'r10', put(ETH_HEADER + 10), 'r0');
  }
  assembler
    .mov('r1', 'r6')
    .mov('r2', 0)
    .mov('r3', 'r10')
    .add('r3', stack.headers)
    .mov('r4', end)
    .mov('r5', 0)
    .callHelper('skb_store_bytes')
    .jump('r0', '!=', 0, slow('unwritable'));
}

/** Adds 1 to the packets of a reason; goes on in any case. */
export function count(assembler: Assembler, reason: Reason, after: string): void {
  assembler.store('u32', 'r10', stack.key, reasons.indexOf(reason));
  countKey(assembler, after);
}

function countKey(assembler: Assembler, after: string): void {
  assembler
    .loadMap('r1', 'counters')
    .mov('r2', 'r10')
    .add('r2', stack.key)
    .callHelper('map_lookup_elem')
    .jump('r0', '==', 0, after)
    .load('u64', 'r1', 'r0', 0) // of this processor only
    .add('r1', 1)
    .store('u64', 'r0', 0, 'r1')
    .label(after);
}

/** Where packets are left to the kernel, one label a reason. The end of each program. */
function leaveToKernel(assembler: Assembler): void {
  for (const reason of slowReasons) {
    if (!assembler.isTarget(slow(reason))) continue;
    assembler.label(slow(reason)).store('u32', 'r10', stack.key, reasons.indexOf(reason)).goto('leave');
  }
  assembler.label('leave');
  countKey(assembler, 'no verdict');
  assembler.mov('r0', TC_ACT_UNSPEC).exit();
}

function needBytes(assembler: Assembler, bytes: number, missing: string): void {
  assembler.mov('r2', 'r7').add('r2', bytes).jump('r2', '>', 'r8', missing);
}
