// Reads the kernel's answers without copying and without trusting any length in them (linux/netlink.h). Its results are valid only until
// the memory is used again.

import type { Family, Ip } from '../ip.ts';
import type { Mac } from '../mac.ts';
import { native } from '../native.ts';
import { NLA_HDRLEN, NLA_TYPE_MASK, NLMSG_HDRLEN } from './constants.ts';

/** Thrown when the lengths in a reply contradict each other. Then nothing else in it can be believed. */
export class MalformedReply extends Error {
  override readonly name = 'MalformedReply';
}

/** A cursor over the messages of one datagram, whose memory begins at a multiple of 4. */
export class MessageReader {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  type = 0;
  flags = 0;
  seq = 0;
  portId = 0;
  /** Where the current message's payload begins. */
  at = 0;
  /** Where the current message ends. */
  end = 0;
  private readonly words: Uint32Array;
  private received: number;
  private nextAt = 0;
  /** A single cursor for all messages, because lists have tens of thousands of them. */
  private cursor: AttributeReader | undefined;

  constructor(bytes: Uint8Array, length: number = bytes.length) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2);
    this.received = length;
  }

  /** Begins with another datagram of `length` bytes in the same memory. A new cursor for each event would take longer than to read it. */
  restart(length: number): void {
    this.received = length;
    this.nextAt = 0;
  }

  /** Moves to the next message; false at the end of the datagram. */
  next(): boolean {
    const start = this.nextAt;
    const left = this.received - start;
    if (left < NLMSG_HDRLEN) {
      if (left > 0) throw new MalformedReply(`${left} bytes where a message header was expected`);
      return false;
    }
    const words = this.words;
    const word = start >> 2;
    const length = words[word] ?? 0;
    if (length < NLMSG_HDRLEN || length > left) {
      throw new MalformedReply(`a message claims ${length} of the ${left} bytes left`);
    }
    const typeAndFlags = words[word + 1] ?? 0;
    this.type = typeAndFlags & 0xffff;
    this.flags = typeAndFlags >>> 16;
    this.seq = words[word + 2] ?? 0;
    this.portId = words[word + 3] ?? 0;
    this.at = start + NLMSG_HDRLEN;
    this.end = start + length;
    // The last message of a datagram may come without its padding.
    this.nextAt = Math.min(start + ((length + 3) & ~3), this.received);
    return true;
  }

  /** Checks that the message has a fixed struct of `length` bytes and returns where it begins. */
  struct(length: number): number {
    if (this.end - this.at < length) {
      throw new MalformedReply(`message type ${this.type} has ${this.end - this.at} bytes of the ${length} it needs`);
    }
    return this.at;
  }

  /** The attributes behind a fixed struct of `length` bytes; valid until the next call or the next message. */
  attributes(length: number): AttributeReader {
    this.cursor ??= new AttributeReader(this.bytes, this.view, this.words, 0, 0);
    this.cursor.aim(this.struct(length) + ((length + 3) & ~3), this.end);
    return this.cursor;
  }
}

/** A cursor over attributes; the typed getters read the payload of the current one. */
export class AttributeReader {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** nla_type without its flag bits. */
  type = 0;
  /** Where the payload begins. */
  at = 0;
  /** Bytes of payload. */
  length = 0;
  private readonly words: Uint32Array;
  private end: number;
  private nextAt: number;

  /** Sets the cursor on the attributes between two offsets of `bytes`. `bytes` and `start` must be aligned to 4. */
  constructor(bytes: Uint8Array, view: DataView, words: Uint32Array, start: number, end: number) {
    this.bytes = bytes;
    this.view = view;
    this.words = words;
    this.nextAt = start;
    this.end = end;
  }

  /** Starts again, with the attributes between two offsets that the caller has checked. */
  aim(start: number, end: number): void {
    this.nextAt = start;
    this.end = end;
  }

  next(): boolean {
    const start = this.nextAt;
    const left = this.end - start;
    if (left < NLA_HDRLEN) {
      // When fewer bytes than a header are left, they can only be padding.
      return false;
    }
    const header = this.words[start >> 2] ?? 0;
    const length = header & 0xffff;
    if (length < NLA_HDRLEN || length > left) {
      throw new MalformedReply(`an attribute claims ${length} of the ${left} bytes left`);
    }
    this.type = (header >>> 16) & NLA_TYPE_MASK;
    this.at = start + NLA_HDRLEN;
    this.length = length - NLA_HDRLEN;
    this.nextAt = start + ((length + 3) & ~3);
    return true;
  }

  /**
   * Moves to the next attribute whose type is selected by a bit of `wanted`, or by a bit of `high` for types from 32 on. It skips
   * the others without a call for each, because a link has about seventy and each call costs time on QuickJS.
   */
  nextOf(wanted: number, high = 0): boolean {
    const start = native.nextAttribute(this.bytes, this.nextAt, this.end, wanted, high);
    this.nextAt = start < 0 ? this.end : start;
    return start >= 0 && this.next();
  }

  u8(): number {
    return this.bytes[this.need(1)] ?? 0;
  }

  u16(): number {
    return this.view.getUint16(this.need(2), true);
  }

  /** 16 bits in network order, as ports are. */
  u16be(): number {
    return this.view.getUint16(this.need(2), false);
  }

  u32(): number {
    return this.words[this.need(4) >> 2] ?? 0;
  }

  /** 64 bits; exact up to 2^53. */
  u64(): number {
    return Number(this.view.getBigUint64(this.need(8), true));
  }

  i32(): number {
    return this.u32() | 0;
  }

  /** Returns text up to its NUL. A byte outside of ASCII becomes \xNN; names of our devices and tables contain none. */
  text(): string {
    return native.asciiText(this.bytes, this.at, this.at + this.length) ?? this.escapedText();
  }

  /** Returns an address of 4 or 16 bytes. Any other length is malformed. */
  ip(): Ip {
    return this.ipAt(0, this.length === 4 ? 4 : 6);
  }

  /** An address `offset` bytes into the payload. */
  ipAt(offset: number, family: Family): Ip {
    const at = this.need(offset + (family === 4 ? 4 : 16)) + offset;
    if (family === 4) return { family, value: BigInt(this.view.getUint32(at, false)) };
    return { family, value: (this.view.getBigUint64(at, false) << 64n) | this.view.getBigUint64(at + 8, false) };
  }

  /** Returns an Ethernet address; undefined when the link layer's addresses have another length. */
  mac(): Mac | undefined {
    if (this.length !== 6) return undefined;
    const { bytes, at } = this;
    // The string is made in one step, because a string that is concatenated keeps all its parts alive until it is read.
    return String.fromCharCode(
      high(bytes[at]),
      low(bytes[at]),
      COLON,
      high(bytes[at + 1]),
      low(bytes[at + 1]),
      COLON,
      high(bytes[at + 2]),
      low(bytes[at + 2]),
      COLON,
      high(bytes[at + 3]),
      low(bytes[at + 3]),
      COLON,
      high(bytes[at + 4]),
      low(bytes[at + 4]),
      COLON,
      high(bytes[at + 5]),
      low(bytes[at + 5]),
    ) as Mac;
  }

  /** A copy of the payload. */
  copy(): Uint8Array {
    return this.bytes.slice(this.at, this.at + this.length);
  }

  /** The attributes inside this attribute, behind `skip` other bytes. */
  nested(skip = 0): AttributeReader {
    return new AttributeReader(this.bytes, this.view, this.words, this.need(skip) + skip, this.at + this.length);
  }

  /** Attributes between two offsets inside the payload, which the caller has checked. */
  within(start: number, end: number): AttributeReader {
    return new AttributeReader(this.bytes, this.view, this.words, start, end);
  }

  private escapedText(): string {
    let text = '';
    for (const byte of this.bytes.subarray(this.at, this.at + this.length)) {
      if (byte === 0) break;
      text += byte < 0x80 ? String.fromCharCode(byte) : `\\x${byte.toString(16)}`;
    }
    return text;
  }

  private need(length: number): number {
    if (this.length < length) {
      throw new MalformedReply(`attribute ${this.type} has ${this.length} bytes of the ${length} it needs`);
    }
    return this.at;
  }
}

const COLON = 0x3a;

/** The code of the upper hexadecimal digit of a byte. */
function high(byte = 0): number {
  return digit(byte >> 4);
}

function low(byte = 0): number {
  return digit(byte & 15);
}

function digit(value: number): number {
  return value < 10 ? 0x30 + value : 0x57 + value;
}
