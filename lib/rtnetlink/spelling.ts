// Shared by all objects of rtnetlink: address families, and the words of messages and commands.

import type { Family } from '../ip.ts';
import { AF_INET, AF_INET6 } from './rtnetlink-constants.ts';

/** A type whose fields the decoder still sets. */
export type Mutable<T> = { -readonly [K in keyof T]: T[K] };

export function addressFamily(family: Family): number {
  return family === 4 ? AF_INET : AF_INET6;
}

/** Undefined for families that are not supported (MPLS, bridge …). */
export function familyOf(addressFamily: number): Family | undefined {
  if (addressFamily === AF_INET) return 4;
  return addressFamily === AF_INET6 ? 6 : undefined;
}

/** Joins the texts that are not empty, with single blanks. */
export function words(...parts: string[]): string {
  let text = '';
  for (const part of parts) {
    if (part !== '') text += text === '' ? part : ` ${part}`;
  }
  return text;
}

/** `dev NAME`; `dev if5` when only the index is known; empty when not even that is. */
export function spellDev(index: number | undefined, dev: string | undefined): string {
  if (dev !== undefined) return `dev ${dev}`;
  return index === undefined ? '' : `dev if${index}`;
}
