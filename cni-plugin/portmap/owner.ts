// Says who owns an element: its comment begins with a short hash of network and attachment, followed by readable names.

import { nftComment } from '../nft.ts';
import type { Invocation } from '../protocol/plugin.ts';

const NETWORK_DIGITS = 6;
const ATTACHMENT_DIGITS = 9;
export const OWNER_DIGITS = NETWORK_DIGITS + ATTACHMENT_DIGITS;

/**
 * Thirteen hexadecimal digits of a hash of the text (the mixing steps are MurmurHash3's). SHA-512 would take a
 * millisecond here, and an attacker gains nothing by a collision: runtime and administrator choose the names.
 */
export function shortHash(text: string): string {
  let low = 0x9747b28c;
  let high = 0x41c6ce57;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    low = Math.imul(low ^ code, 0x85ebca6b);
    high = Math.imul(high ^ code, 0x5f356495);
    low = (low << 13) | (low >>> 19);
    high = (high << 15) | (high >>> 17);
  }
  low = mix(low ^ text.length ^ (high >>> 16));
  high = mix(high ^ low);
  return (high >>> 0).toString(16).padStart(8, '0').slice(0, 5) + (low >>> 0).toString(16).padStart(8, '0');
}

function mix(value: number): number {
  let mixed = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return mixed ^ (mixed >>> 16);
}

/** The six digits with which the owner of every attachment of the network begins. */
export function networkDigits({ name }: Invocation): string {
  return shortHash(name).slice(0, NETWORK_DIGITS);
}

/** Fifteen digits, which fit a set of interface names: six of the network and nine of the attachment. */
export function ownerOf(invocation: Invocation, containerId: string, ifname: string): string {
  return networkDigits(invocation) + shortHash(`${ifname}:${containerId}`).slice(-ATTACHMENT_DIGITS);
}

/** The comment of the invocation's own elements, whose first word is the owner. */
export function ownComment(invocation: Invocation): string {
  const { name, containerId, ifname } = invocation;
  return nftComment(`${ownerOf(invocation, containerId, ifname)} ${name} ${containerId} ${ifname}`);
}

/** The owner with which a comment begins. */
export function ownerIn(comment: string): string {
  return comment.slice(0, OWNER_DIGITS);
}
