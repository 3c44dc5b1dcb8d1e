// Writes netlink requests into memory the kernel will read: headers, fixed structs and attributes
// (linux/netlink.h; alignment 4, host byte order unless a name says otherwise).

import type { Ip } from '../ip.ts';
import type { Mac } from '../mac.ts';
import { NLA_HDRLEN, NLMSG_HDRLEN } from './constants.ts';

/** Appends messages one behind the other; throws RangeError when the memory it was given is full. */
export class MessageWriter {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  /** Where the message begun last starts, and the one before it. */
  #start = 0;
  #previous = 0;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Bytes written so far, all messages together. */
  get length(): number {
    return this.#at;
  }

  /** Bytes left. */
  get room(): number {
    return this.#bytes.length - this.#at;
  }

  /** Opens a message: nlmsghdr {len, type, flags, seq, pid}; the kernel fills in the port id. */
  begin(type: number, flags: number, seq: number): void {
    this.#previous = this.#start;
    this.#start = this.#at;
    const at = this.#take(NLMSG_HDRLEN);
    const view = this.#view;
    view.setUint32(at, NLMSG_HDRLEN, true);
    view.setUint16(at + 4, type, true);
    view.setUint16(at + 6, flags, true);
    view.setUint32(at + 8, seq, true);
    view.setUint32(at + 12, 0, true);
  }

  /** Closes the message opened last by storing its length. */
  end(): void {
    this.#view.setUint32(this.#start, this.#at - this.#start, true);
  }

  /** Adds flags to the message begun last. */
  addFlags(flags: number): void {
    const at = this.#start + 6;
    this.#view.setUint16(at, this.#view.getUint16(at, true) | flags, true);
  }

  /** Forgets the message begun last; the one before it is the last again. */
  abandon(): void {
    this.#at = this.#start;
    this.#start = this.#previous;
  }

  u8(value: number): void {
    this.#view.setUint8(this.#take(1), value);
  }

  u16(value: number): void {
    this.#view.setUint16(this.#take(2), value, true);
  }

  u32(value: number): void {
    this.#view.setUint32(this.#take(4), value, true);
  }

  /** An attribute without payload: its presence is the value. */
  flag(type: number): void {
    this.#header(type, 0);
  }

  attrU8(type: number, value: number): void {
    this.#view.setUint8(this.#header(type, 1), value);
  }

  /** A switch as one byte; absent when undefined. */
  attrSwitch(type: number, value: boolean | undefined): void {
    if (value !== undefined) this.attrU8(type, value ? 1 : 0);
  }

  attrU16(type: number, value: number): void {
    this.#view.setUint16(this.#header(type, 2), value, true);
  }

  /** 16 bits in network order, as ports are. */
  attrU16be(type: number, value: number): void {
    this.#view.setUint16(this.#header(type, 2), value, false);
  }

  attrU32(type: number, value: number): void {
    this.#view.setUint32(this.#header(type, 4), value, true);
  }

  attrBytes(type: number, value: Uint8Array): void {
    this.#bytes.set(value, this.#header(type, value.length));
  }

  /** ASCII text with the NUL that nla_policy NLA_NUL_STRING wants; names of devices and kinds are ASCII. */
  attrText(type: number, text: string): void {
    const at = this.#header(type, text.length + 1);
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      if (code === 0 || code > 0x7e) throw new RangeError(`not plain ASCII: ${JSON.stringify(text)}`);
      this.#bytes[at + i] = code;
    }
    this.#bytes[at + text.length] = 0;
  }

  /** 4 or 16 bytes in network order. Without an allocation: batches carry thousands of these. */
  attrIp(type: number, ip: Ip): void {
    if (ip.family === 4) {
      this.#view.setUint32(this.#header(type, 4), Number(ip.value), false);
      return;
    }
    const at = this.#header(type, 16);
    this.#view.setBigUint64(at, ip.value >> 64n, false);
    this.#view.setBigUint64(at + 8, ip.value & 0xffff_ffff_ffff_ffffn, false);
  }

  attrMac(type: number, mac: Mac): void {
    const at = this.#header(type, 6);
    for (let i = 0; i < 6; i++) {
      this.#bytes[at + i] = (nibble(mac.charCodeAt(3 * i)) << 4) | nibble(mac.charCodeAt(3 * i + 1));
    }
  }

  /** An attribute made of attributes. iproute2 marks few of them NLA_F_NESTED, so the caller says. */
  nest(type: number, body: () => void): void {
    const start = this.#at;
    this.#header(type, 0);
    body();
    this.#view.setUint16(start, this.#at - start, true);
  }

  /** Writes an attribute header and returns where its payload of `length` bytes goes, padding zeroed. */
  #header(type: number, length: number): number {
    const at = this.#take(NLA_HDRLEN + ((length + 3) & ~3));
    const view = this.#view;
    view.setUint16(at, NLA_HDRLEN + length, true);
    view.setUint16(at + 2, type, true);
    if ((length & 3) !== 0) view.setUint32(at + NLA_HDRLEN + (length & ~3), 0, true);
    return at + NLA_HDRLEN;
  }

  #take(length: number): number {
    const at = this.#at;
    if (at + length > this.#bytes.length) throw new RangeError(`netlink request exceeds ${this.#bytes.length} bytes`);
    this.#at = at + length;
    return at;
  }
}

/** The value of a lower-case hexadecimal digit's code. */
function nibble(code: number): number {
  return code < 0x3a ? code - 0x30 : code - 0x57;
}
