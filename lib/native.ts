// Loops over bytes and characters in which QuickJS is slow. They are written here in JavaScript, and in C in the CNI executable's
// host, which replaces these (cni-plugin/host-functions.c).

import { NLA_HDRLEN, NLA_TYPE_MASK } from './netlink/constants.ts';

export interface Native {
  /**
   * Returns the offset of the first netlink attribute between `start` and `end` of `bytes` whose type is selected, or whose length
   * is impossible; −1 when there is none. A type is selected by its bit in `wanted`, and types from 32 on by a bit in `high`.
   */
  nextAttribute(bytes: Uint8Array, start: number, end: number, wanted: number, high: number): number;
  /** The ASCII text between `start` and `end` of `bytes`, or up to a NUL there; undefined when a byte is not ASCII. */
  asciiText(bytes: Uint8Array, start: number, end: number): string | undefined;
  /** Writes text as UTF-8 at `at` and returns the number of bytes. Throws a RangeError when they do not fit. */
  encodeInto(text: string, bytes: Uint8Array, at: number): number;
  /** Whether the whole text is known to be ASCII and to contain no character of `except`. */
  isPlain(text: string, except: string): boolean;
}

/** The functions in use. */
export let native: Native = { nextAttribute, asciiText, encodeInto, isPlain };

/** Replaces the functions in use. */
export function useNative(implementation: Native): void {
  native = implementation;
}

function nextAttribute(bytes: Uint8Array, from: number, end: number, wanted: number, high: number): number {
  let start = from;
  while (end - start >= NLA_HDRLEN) {
    const length = (bytes[start] ?? 0) | ((bytes[start + 1] ?? 0) << 8);
    const type = ((bytes[start + 2] ?? 0) | ((bytes[start + 3] ?? 0) << 8)) & NLA_TYPE_MASK;
    if (length < NLA_HDRLEN || length > end - start) return start;
    // JavaScript takes the count of a shift modulo 32.
    if ((((type < 32 ? wanted : high) >>> type) & 1) === 1) return start;
    start += (length + 3) & ~3;
  }
  return -1;
}

function asciiText(bytes: Uint8Array, start: number, end: number): string | undefined {
  let text = '';
  for (let at = start; at < end; at++) {
    const byte = bytes[at] ?? 0;
    if (byte === 0) break;
    if (byte >= 0x80) return undefined;
    text += String.fromCharCode(byte);
  }
  return text;
}

/** Counts two bytes for every character outside of ASCII. Some need more, but callers only ask whether any needs more than one. */
function encodeInto(text: string, bytes: Uint8Array, at: number): number {
  let to = at;
  for (let from = 0; from < text.length; from++) {
    const code = text.charCodeAt(from);
    bytes[to++] = code;
    if (code >= 0x80) to++;
  }
  return to - at;
}

/** V8 writes a text as JSON faster than a check here would take. */
function isPlain(): boolean {
  return false;
}
