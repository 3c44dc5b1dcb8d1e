// The names and MACs that bridge chooses. Both are computed from the attachment and not random: DEL finds the host end without entering the
// pod's netns, and an address that is used again keeps its MAC, so that no neighbour has an outdated one.

import { type Ip, ipToBytes } from '../ip.ts';
import { type Mac, macFromBytes } from '../mac.ts';

/**
 * Two independent 32-bit hashes: polynomials of the text, mixed by MurmurHash3's finaliser. The products stay
 * below 2^53, so plain multiplication is exact, and cheaper here than Math.imul.
 */
function hash64(text: string): readonly [number, number] {
  let a = 7;
  let b = 11;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    a = (a * 65599 + code) | 0;
    b = (b * 92821 + code) | 0;
  }
  return [mix(a ^ text.length), mix(b ^ a)];
}

function mix(value: number): number {
  let h = value ^ (value >>> 16);
  h = Math.imul(h, 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

function hex(value: number, digits: number): string {
  return value.toString(16).padStart(8, '0').slice(0, digits);
}

/** The key of an attachment. Neither part can contain the separator. */
function attachmentKey(containerId: string, ifname: string): string {
  return `${containerId}:${ifname}`;
}

/** The name of the host's end: `veth` and 11 hexadecimal digits, which are 44 bits of the hash. The kernel accepts 15 bytes. */
export function hostVethName(containerId: string, ifname: string): string {
  const [a, b] = hash64(attachmentKey(containerId, ifname));
  return `veth${hex(a, 8)}${hex(b, 3)}`;
}

/** Whether a device has the form of name that this plugin (11 digits) or the reference one (8) gives a pod's port. */
export function isPodPortName(name: string): boolean {
  return /^veth[0-9a-f]{8,11}$/.test(name);
}

function macOf(second: number, last4: Uint8Array): Mac {
  const bytes = new Uint8Array(6);
  bytes[0] = 0x0a;
  bytes[1] = second;
  bytes.set(last4, 2);
  return macFromBytes(bytes);
}

/** The pod end's MAC: 0a:58 and the last four bytes of its first address. */
export function podMac(ip: Ip): Mac {
  return macOf(0x58, ipToBytes(ip).slice(-4));
}

/** The host end's MAC: 0a:59 and the same four bytes. */
export function hostMac(ip: Ip): Mac {
  return macOf(0x59, ipToBytes(ip).slice(-4));
}

/** MACs of an attachment without addresses: 0a:58 and 0a:59 and 32 bits of hash. */
export function hashedMac(end: 'pod' | 'host', containerId: string, ifname: string): Mac {
  const [a] = hash64(attachmentKey(containerId, ifname));
  const bytes = new Uint8Array([a >>> 24, a >>> 16, a >>> 8, a]);
  return macOf(end === 'pod' ? 0x58 : 0x59, bytes);
}

/** The MAC of a new bridge: computed from its gateway address, or hashed from its name. */
export function bridgeMac(gateway: Ip | undefined, name: string): Mac {
  if (gateway !== undefined) return podMac(gateway);
  const [a] = hash64(name);
  return macOf(0x5a, new Uint8Array([a >>> 24, a >>> 16, a >>> 8, a]));
}
