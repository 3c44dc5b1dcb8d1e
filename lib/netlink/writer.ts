// Writes netlink requests into memory that the kernel will read: headers, fixed structs and attributes (linux/netlink.h; alignment 4, host
// byte order unless a name says otherwise).

import type { Ip } from '../ip.ts';
import type { Mac } from '../mac.ts';
import { native } from '../native.ts';
import { NLA_HDRLEN, NLMSG_HDRLEN } from './constants.ts';

/**
 * Appends messages to each other. Throws RangeError when the memory is full. The memory is aligned to 4: words are stored in an
 * array of words, because on QuickJS this is several times faster than a call of DataView.
 */
export class MessageWriter {
  private readonly bytes: Uint8Array;
  private readonly words: Uint32Array;
  /** The offset of the message that was begun last, and of the one before it. */
  private start = 0;
  private previous = 0;
  private at = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2);
  }

  /** Bytes written so far, all messages together. */
  get length(): number {
    return this.at;
  }

  /** Bytes left. */
  get room(): number {
    return this.bytes.length - this.at;
  }

  /** Opens a message: nlmsghdr {len, type, flags, seq, pid}; the kernel fills in the port id. */
  begin(type: number, flags: number, seq: number): void {
    this.previous = this.start;
    this.start = this.at;
    const word = this.take(NLMSG_HDRLEN) >> 2;
    const words = this.words;
    words[word] = NLMSG_HDRLEN;
    words[word + 1] = type | (flags << 16);
    words[word + 2] = seq;
    words[word + 3] = 0;
  }

  /** Closes the message opened last by storing its length. */
  end(): void {
    this.words[this.start >> 2] = this.at - this.start;
  }

  /** Adds flags to the message begun last. */
  addFlags(flags: number): void {
    const word = (this.start >> 2) + 1;
    this.words[word] = (this.words[word] ?? 0) | (flags << 16);
  }

  /** Removes the message that was begun last. The one before it is the last again. */
  abandon(): void {
    this.at = this.start;
    this.start = this.previous;
  }

  /** A field of a fixed struct. Together they must fill whole words before an attribute follows. */
  u8(value: number): void {
    this.bytes[this.take(1)] = value;
  }

  u16(value: number): void {
    const at = this.take(2);
    this.bytes[at] = value;
    this.bytes[at + 1] = value >> 8;
  }

  u32(value: number): void {
    this.words[this.take(4) >> 2] = value;
  }

  /** An attribute without payload: its presence is the value. */
  flag(type: number): void {
    this.header(type, 0);
  }

  attrU8(type: number, value: number): void {
    this.bytes[this.header(type, 1)] = value;
  }

  /** A switch as one byte; no attribute when undefined. */
  attrSwitch(type: number, value: boolean | undefined): void {
    if (value !== undefined) this.attrU8(type, value ? 1 : 0);
  }

  attrU16(type: number, value: number): void {
    const at = this.header(type, 2);
    this.bytes[at] = value;
    this.bytes[at + 1] = value >> 8;
  }

  /** 16 bits in network order, as ports are. */
  attrU16be(type: number, value: number): void {
    const at = this.header(type, 2);
    this.bytes[at] = value >> 8;
    this.bytes[at + 1] = value;
  }

  attrU32(type: number, value: number): void {
    this.words[this.header(type, 4) >> 2] = value;
  }

  attrBytes(type: number, value: Uint8Array): void {
    this.bytes.set(value, this.header(type, value.length));
  }

  /** ASCII text with the NUL that nla_policy NLA_NUL_STRING wants; names of devices and kinds are ASCII. */
  attrText(type: number, text: string): void {
    const { length } = text;
    const at = this.header(type, length + 1);
    const bytes = this.bytes;
    bytes[at + length] = 0;
    // In UTF-8 only ASCII characters take one byte, and only NUL is the byte 0.
    if (native.encodeInto(text, bytes, at) !== length || bytes.indexOf(0, at) < at + length) {
      throw new RangeError(`not plain ASCII: ${JSON.stringify(text)}`);
    }
  }

  /** Writes 4 or 16 bytes in network order. It allocates nothing, because batches have thousands of addresses. */
  attrIp(type: number, ip: Ip): void {
    if (ip.family === 4) {
      this.networkOrder(this.header(type, 4), Number(ip.value));
      return;
    }
    const at = this.header(type, 16);
    for (let word = 0; word < 4; word++) {
      const shift = BigInt(96 - 32 * word);
      this.networkOrder(at + 4 * word, Number((ip.value >> shift) & 0xffff_ffffn));
    }
  }

  attrMac(type: number, mac: Mac): void {
    const at = this.header(type, 6);
    const bytes = this.bytes;
    for (let i = 0; i < 6; i++) {
      const high = mac.charCodeAt(3 * i);
      const low = mac.charCodeAt(3 * i + 1);
      // '0'…'9' are 0x30…0x39, 'a'…'f' are 0x61…0x66.
      bytes[at + i] = ((high < 0x3a ? high - 0x30 : high - 0x57) << 4) | (low < 0x3a ? low - 0x30 : low - 0x57);
    }
  }

  /**
   * Writes an attribute that contains attributes. The caller says whether it is marked NLA_F_NESTED, because iproute2 marks few of
   * them.
   */
  nest(type: number, body: () => void): void {
    const start = this.at;
    this.header(type, 0);
    body();
    this.words[start >> 2] = (this.at - start) | (type << 16);
  }

  private networkOrder(at: number, value: number): void {
    const bytes = this.bytes;
    bytes[at] = value >>> 24;
    bytes[at + 1] = value >>> 16;
    bytes[at + 2] = value >>> 8;
    bytes[at + 3] = value;
  }

  /** Writes an attribute header and returns where its payload of `length` bytes goes, padding zeroed. */
  private header(type: number, length: number): number {
    const at = this.take(NLA_HDRLEN + ((length + 3) & ~3));
    this.words[at >> 2] = (NLA_HDRLEN + length) | (type << 16);
    if ((length & 3) !== 0) this.words[(at + NLA_HDRLEN + length) >> 2] = 0;
    return at + NLA_HDRLEN;
  }

  private take(length: number): number {
    const at = this.at;
    if (at + length > this.bytes.length) throw new RangeError(`netlink request exceeds ${this.bytes.length} bytes`);
    this.at = at + length;
    return at;
  }
}
