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
import { NEAR_ADDRESS, nearMap } from '../../../lib/pods/fast-path-pods.ts';
import { ENODEV, ENOENT } from '../../../lib/sys/errno.ts';
import { sumHeader } from './checksum.ts';
import { slowOfPeer, stateValue } from './layout.ts';
import { type PeerReason, peerReasons, type Reason, reasons, type SlowReason, slowReasons } from './reasons.ts';
import { setting, settingAt } from './settings.ts';

export const ETH_HEADER = 14;
export const ETH_TYPE = 12;
const IPPROTO_TCP = 6;
export const IPPROTO_UDP = 17;
/** TCP or UDP ports behind an IP header. */
export const PORTS_BYTES = 4;
/** The byte of a TCP header whose upper half is its length in words. */
const TCP_LENGTH_AT = 12;
/** 2^24 ns are 17 ms, which is more than a tick of any kernel takes. */
const NS_PER_TICK_SHIFT = 24;

/** What programs keep at which offset of the stack; `encapsulate.ts` and `from-underlay.ts` keep more below. */
export const stack = {
  /** A pointer into a map. */
  pointer: -8,
  /** u32: the largest IP packet that this one will be sent as, in bytes. */
  size: -16,
  /** The element of the peer that the packet is for or from; 0 before it is known. */
  peer: -272,
  /** u64: the kernel's tick at which the program began. */
  tick: -280,
  /** u32: the MTU of the device that a packet is for, as the kernel reports it. */
  deviceMtu: -284,
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

/** Offsets of a family's headers and fields, in bytes from the start of the frame. */
export interface FamilyLayout {
  readonly family: Family;
  /** Where the IP header begins. */
  readonly start: number;
  /** The EtherType as a little-endian processor reads it. */
  readonly etherType: number;
  readonly headerBytes: number;
  readonly source: number;
  readonly destination: number;
  readonly addressWords: number;
  readonly protocol: number;
  readonly ttl: number;
}

/** The layout of a packet whose IP header begins at `start`. */
export function layoutOf(family: Family, start: number): FamilyLayout {
  const ipv4 = { etherType: 0x0008, headerBytes: 20, addressWords: 1 } as const;
  const ipv6 = { etherType: 0xdd86, headerBytes: 40, addressWords: 4 } as const;
  return family === 4
    ? { family, start, ...ipv4, source: start + 12, destination: start + 16, protocol: start + 9, ttl: start + 8 }
    : { family, start, ...ipv6, source: start + 8, destination: start + 24, protocol: start + 6, ttl: start + 7 };
}

const layouts: readonly FamilyLayout[] = [layoutOf(4, ETH_HEADER), layoutOf(6, ETH_HEADER)];

export const slow = (reason: SlowReason): string => `slow: ${reason}`;

/** A whole program: `part` adds the instructions for packets of a family. */
export function programOf(part: (assembler: Assembler, layout: FamilyLayout) => void): AssembledProgram {
  const assembler = new Assembler();
  start(assembler);
  for (const layout of layouts) {
    assembler.label(`IPv${layout.family}`);
    loadSetting(assembler, 'r0', layout, 'mtu');
    assembler.jump('r0', '==', 0, slow('not-ip')); // this node's pods have no addresses of this family
    part(assembler, layout);
  }
  leaveToKernel(assembler);
  return assembler.assemble();
}

/** Loads the pointers to the packet and jumps to the part of its family. */
function start(assembler: Assembler): void {
  assembler
    .mov('r6', 'r1')
    .store('u64', 'r10', stack.peer, 0)
    .load('u32', 'r7', 'r6', skb.data)
    .load('u32', 'r8', 'r6', skb.dataEnd)
    .load('u32', 'r0', 'r6', skb.vlanPresent)
    .jump('r0', '!=', 0, slow('vlan'));
  needBytes(assembler, ETH_HEADER, slow('not-ip'));
  assembler.load('u16', 'r0', 'r7', ETH_TYPE);
  for (const { etherType, family } of layouts) assembler.jump('r0', '==', etherType, `IPv${family}`);
  assembler.goto(slow('not-ip'));
}

/** Loads a setting of the family. `word` chooses one of the words of an address. */
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

/** Goes on only with whole TCP and UDP packets without IP options whose ttl is more than 1. */
export function checkHeader(assembler: Assembler, layout: FamilyLayout): void {
  needBytes(assembler, layout.start + layout.headerBytes + PORTS_BYTES, slow('short'));
  if (layout.family === 4) checkIpv4(assembler, layout);
  else checkIpv6(assembler, layout);
  assembler
    .load('u8', 'r0', 'r7', layout.ttl)
    .jump('r0', '<', 2, slow('ttl'))
    .load('u8', 'r0', 'r7', layout.protocol)
    .jump('r0', '==', IPPROTO_TCP, `IPv${layout.family}: ports`)
    .jump('r0', '!=', IPPROTO_UDP, slow('protocol'))
    .label(`IPv${layout.family}: ports`);
}

function checkIpv4(assembler: Assembler, { start }: FamilyLayout): void {
  assembler
    .load('u8', 'r0', 'r7', start)
    .jump('r0', '!=', 0x45, slow('options')) // version 4, five words
    .load('u16', 'r0', 'r7', start + 6)
    .jump('r0', '&', 0xff3f, slow('fragment')) // more fragments, or an offset: 0x3fff in network order
    .load('u16', 'r0', 'r7', start + 2)
    .fromNetwork('r0', 16) // the total length
    .load('u32', 'r1', 'r6', skb.len)
    .sub('r1', start)
    .jump('r0', '!=', 'r1', slow('length'));
  sumHeader(assembler, 'r7', start);
  assembler.jump('r0', '!=', 0xffff, slow('checksum'));
}

function checkIpv6(assembler: Assembler, { start }: FamilyLayout): void {
  assembler
    .load('u8', 'r0', 'r7', start)
    .and('r0', 0xf0)
    .jump('r0', '!=', 0x60, slow('options')) // version 6
    .load('u16', 'r0', 'r7', start + 4)
    .fromNetwork('r0', 16) // the length of what follows the header
    .load('u32', 'r1', 'r6', skb.len)
    .sub('r1', start + 40)
    .jump('r0', '!=', 'r1', slow('length'));
}

/**
 * Goes on only before the time that the agent has set. Asking the clock takes longer than the rest of this check, so its answer is used
 * again until the agent sets another time, or until so many ticks have passed that this time may be near.
 */
export function checkHeartbeat(assembler: Assembler, path: string, otherwise = slow('paused')): void {
  assembler
    .callHelper('jiffies64')
    .loadMapValue('r1', 'state', 0)
    .load('u64', 'r2', 'r1', stateValue.until)
    // Of itself: a program on another processor may write the other two values while the agent sets all three to 0.
    .jump('r2', '==', 0, otherwise)
    .load('u64', 'r3', 'r1', stateValue.asked)
    .jump('r2', '!=', 'r3', `${path}: ask the clock`)
    .load('u64', 'r3', 'r1', stateValue.askAgain)
    .jump('r0', '<', 'r3', `${path}: in time`)
    .label(`${path}: ask the clock`)
    .store('u64', 'r10', stack.tick, 'r0')
    .callHelper('ktime_get_coarse_ns')
    .loadMapValue('r1', 'state', 0)
    .load('u64', 'r2', 'r1', stateValue.until)
    .jump('r0', '>=', 'r2', otherwise)
    .store('u64', 'r1', stateValue.asked, 'r2')
    .sub('r2', 'r0')
    .shiftRight('r2', NS_PER_TICK_SHIFT)
    .load('u64', 'r3', 'r10', stack.tick)
    .add('r2', 'r3')
    .store('u64', 'r1', stateValue.askAgain, 'r2')
    .label(`${path}: in time`);
}

/**
 * Goes on only if the packet fits the MTU, or each segment does when the kernel will segment it. UDP segments may belong to a tunnel.
 * `path` begins the labels of parts that a program contains more than once.
 */
export function checkSize(assembler: Assembler, layout: FamilyLayout, path: string): void {
  const at = (label: string) => `${path}: ${label}`;
  const transport = layout.start + layout.headerBytes;
  assembler
    .load('u32', 'r0', 'r6', skb.gsoSize)
    .jump('r0', '!=', 0, at('segments'))
    .load('u32', 'r0', 'r6', skb.len)
    .sub('r0', layout.start)
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
  assembler.jump('r0', '>', 'r1', slow('size')).store('u32', 'r10', stack.size, 'r0');
}

/** Looks an address of the packet up in a map: r0 becomes the element. Changes r1–r5. */
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
  lookUpKey(assembler, map, slow(missing));
}

/** Like `lookUp` in the map of pods, which is used only where `nearMap` does not have the address. `path` begins the labels. */
export function lookUpPod(
  assembler: Assembler,
  layout: FamilyLayout,
  address: number,
  missing: SlowReason,
  path: string,
): void {
  const { family } = layout;
  if (family === 4) {
    assembler
      .load('u32', 'r1', 'r7', address)
      .fromNetwork('r1', 32)
      .and('r1', nearMap.maxEntries - 1)
      .store('u32', 'r10', stack.key, 'r1');
    lookUpKey(assembler, 'near4', `${path}: far`);
    assembler
      .load('u32', 'r1', 'r7', address)
      .load('u32', 'r2', 'r0', NEAR_ADDRESS)
      .jump('r1', '==', 'r2', `${path}: found`)
      .label(`${path}: far`);
  }
  lookUp(assembler, layout, `pods${family}`, address, missing);
  assembler.label(`${path}: found`);
}

/** Like `lookUp`, with the address of the subnet that the packet's address belongs to. */
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
  lookUpKey(assembler, map, slow(missing));
}

/** Looks the key on the stack up: r0 becomes the element. Goes to the label `missing` when there is none. */
function lookUpKey(assembler: Assembler, map: string, missing: string): void {
  assembler
    .loadMap('r1', map)
    .mov('r2', 'r10')
    .add('r2', stack.key)
    .callHelper('map_lookup_elem')
    .jump('r0', '==', 0, missing);
}

/** Goes on only when the MAC address at offset `frame` of the packet equals the one at `offset` of the element in `element`. */
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
 * Goes on only when the kernel tracks no connection with these addresses and ports in this direction. If it does, it may have to translate
 * the packet, or a rule may have to see it. A tracked connection of which the kernel sees only some packets would also become invalid.
 */
export function checkUntracked(assembler: Assembler, layout: FamilyLayout, path: string): void {
  const words = 2 * layout.addressWords + 1;
  for (let word = 0; word < words; word++) {
    // In both families the ports follow the addresses directly, as in the tuple.
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
    .load('u32', 'r0', 'r10', stack.options + 4) // the error says why there is none
    .jump32('r0', '!=', -ENOENT, slow('conntrack'));
}

/**
 * Goes on only when the device with the index in `ifindex` exists, because a redirected packet would be lost otherwise. While no agent runs
 * to receive the event about a device's removal, its entry may stay for up to 10 s.
 */
export function checkDevice(assembler: Assembler, ifindex: Register): void {
  assembler
    .mov('r2', ifindex)
    .store('u32', 'r10', stack.deviceMtu, 0)
    .mov('r1', 'r6')
    .mov('r3', 'r10')
    .add('r3', stack.deviceMtu)
    .mov('r4', 0)
    .mov('r5', 0)
    .callHelper('check_mtu')
    .jump32('r0', '==', -ENODEV, slow('no-device'));
}

/** Remembers which peer the packet belongs to: r9 is the peer. */
export const keepPeer = (assembler: Assembler): Assembler => assembler.store('u64', 'r10', stack.peer, 'r9');

/** Adds 1 to this peer's packets of a reason, if the peer is known; goes on in any case. */
export function countOfPeer(assembler: Assembler, reason: PeerReason, path: string): void {
  assembler
    .load('u64', 'r1', 'r10', stack.peer)
    .jump('r1', '==', 0, `${path}: no peer`)
    .mov('r2', 1)
    .atomicAdd('r1', slowOfPeer(reason), 'r2')
    .label(`${path}: no peer`);
}

/** Adds 1 to the packets of a reason; goes on in any case. */
export function count(assembler: Assembler, reason: Reason, after: string): void {
  assembler.store('u32', 'r10', stack.key, reasons.indexOf(reason));
  countKey(assembler, after);
}

function countKey(assembler: Assembler, after: string): void {
  lookUpKey(assembler, 'counters', after);
  assembler
    .load('u64', 'r1', 'r0', 0) // each processor has its own counter, so no atomic addition is needed
    .add('r1', 1)
    .store('u64', 'r0', 0, 'r1')
    .label(after);
}

/**
 * The end of each program: one label for each reason why a packet is left to the kernel. The packet is counted under this reason, or under
 * `counted`.
 */
export function leaveToKernel(assembler: Assembler, counted?: Reason): void {
  for (const reason of slowReasons) {
    if (!assembler.isTarget(slow(reason))) continue;
    assembler.label(slow(reason)).store('u32', 'r10', stack.key, reasons.indexOf(counted ?? reason));
    const ofPeer = counted === undefined ? peerReasons.find((one) => one === reason) : 'by-device';
    if (ofPeer !== undefined) countOfPeer(assembler, ofPeer, `peer: ${reason}`);
    assembler.goto('leave');
  }
  assembler.label('leave');
  countKey(assembler, 'no verdict');
  assembler.label('pass').mov('r0', TC_ACT_UNSPEC).exit();
}

/** Goes on only when the first `bytes` bytes of the packet can be read directly. */
export function needBytes(assembler: Assembler, bytes: number, missing: string): void {
  assembler.mov('r2', 'r7').add('r2', bytes).jump('r2', '>', 'r8', missing);
}
