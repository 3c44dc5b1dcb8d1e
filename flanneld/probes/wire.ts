// A probe on the wire: UDP from one agent to another. The answer is exactly as long as the question, so that a responder cannot be used to
// make traffic larger, and so that the way back is tested with the same size. A node without our responder (a plain flannel node) answers
// with its kernel's `port unreachable`, which says the same about the way there.

import { type Ip, ipFromBytes, ipToBytes } from '../../lib/ip.ts';
import { type Mac, macFromBytes, macToBytes } from '../../lib/mac.ts';
import { viewOf } from '../../lib/packet-bytes.ts';

/** The length of a header, and of the smallest probe. */
export const HEADER_BYTES = 64;
/** "WEFT". */
const MAGIC = 0x57454654;
const VERSION = 1;
const QUESTION = 1;
const ANSWER = 2;
const NONCE = 8;
const NEVER = 0xffffffff;
/** The byte that is 1 in a question whose answer shall have no UDP checksum. */
export const NO_CHECKSUM = 7;

/** The identity of the node that answers. When it differs from the lease, the address belongs to another node. */
export interface Identity {
  /** The address of its tunnel device; undefined without a tunnel. */
  readonly vtep: Ip | undefined;
  readonly mac: Mac | undefined;
  readonly vni: number;
  readonly port: number;
}

/** When the asker's earlier probes reached the node that answers. */
export interface Heard {
  /** How long ago the last one arrived, in milliseconds; undefined when none did. */
  readonly agoMs: number | undefined;
  /** Its size, in bytes of UDP payload. */
  readonly bytes: number;
}

export interface Answer {
  readonly nonce: bigint;
  /** How long the question waited at the other side, in milliseconds. */
  readonly heldMs: number;
  /** The asker's last probe that came through the tunnel. */
  readonly heard: Heard;
  readonly identity: Identity;
  /** The length of the answer, in bytes. */
  readonly bytes: number;
}

/** A question of `bytes` bytes (64 at least). */
export function encodeQuestion(nonce: bigint, bytes: number, noChecksum = false): Uint8Array {
  const packet = new Uint8Array(Math.max(bytes, HEADER_BYTES));
  writeStart(packet, QUESTION, nonce);
  if (noChecksum) packet[NO_CHECKSUM] = 1;
  return packet;
}

function writeStart(packet: Uint8Array, type: number, nonce: bigint): void {
  const view = viewOf(packet);
  view.setUint32(0, MAGIC);
  view.setUint8(4, VERSION);
  view.setUint8(5, type);
  view.setBigUint64(NONCE, nonce);
}

/** The nonce of a question; undefined for anything else. */
export function readQuestion(packet: Uint8Array): bigint | undefined {
  return packet.length < HEADER_BYTES ? undefined : readQuotedNonce(packet);
}

/**
 * Returns the nonce in the first bytes of a probe that an ICMP error quotes; undefined when the quoted packet is not a probe or the
 * quotation is too short.
 */
export function readQuotedNonce(packet: Uint8Array): bigint | undefined {
  if (packet.length < NONCE + 8) return undefined;
  const view = viewOf(packet);
  return isOurs(view, QUESTION) ? view.getBigUint64(NONCE) : undefined;
}

function isOurs(view: DataView, type: number): boolean {
  return view.getUint32(0) === MAGIC && view.getUint8(4) === VERSION && view.getUint8(5) === type;
}

/** Offsets in the header: 16 held (µs), 20 heard ago (ms), 24 heard bytes, 32 VTEP address, 48 MAC, 54 port, 56 VNI. */
export function encodeAnswer({ nonce, heldMs, heard, identity, bytes }: Answer): Uint8Array {
  const packet = new Uint8Array(bytes);
  writeStart(packet, ANSWER, nonce);
  const view = viewOf(packet);
  view.setUint32(16, clamp(heldMs * 1000));
  view.setUint32(20, heard.agoMs === undefined ? NEVER : clamp(heard.agoMs));
  view.setUint32(24, clamp(heard.bytes));
  const { vtep, mac } = identity;
  if (vtep !== undefined) {
    packet[6] = vtep.family;
    packet.set(ipToBytes(vtep), 32);
  }
  if (mac !== undefined) packet.set(macToBytes(mac), 48);
  view.setUint16(54, identity.port);
  view.setUint32(56, identity.vni);
  return packet;
}

/** Reads any packet; returns undefined when it is not an answer. */
export function readAnswer(packet: Uint8Array): Answer | undefined {
  if (packet.length < HEADER_BYTES) return undefined;
  const view = viewOf(packet);
  if (!isOurs(view, ANSWER)) return undefined;
  const agoMs = view.getUint32(20);
  const family = packet[6];
  const mac = packet.slice(48, 54);
  return {
    nonce: view.getBigUint64(NONCE),
    heldMs: view.getUint32(16) / 1000,
    heard: { agoMs: agoMs === NEVER ? undefined : agoMs, bytes: view.getUint32(24) },
    identity: {
      vtep: family === 4 || family === 6 ? ipFromBytes(packet.slice(32, family === 4 ? 36 : 48)) : undefined,
      mac: mac.every((byte) => byte === 0) ? undefined : macFromBytes(mac),
      vni: view.getUint32(56),
      port: view.getUint16(54),
    },
    bytes: packet.length,
  };
}

function clamp(value: number): number {
  return Math.max(0, Math.min(Math.round(value), NEVER - 1));
}
