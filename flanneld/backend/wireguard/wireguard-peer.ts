// A peer of a WireGuard device as a kind of kernel object. The kernel sends no events for peers, so the kind is polled. On our device
// every peer is ours.

import {
  type Endpoint,
  type PresentWireguardPeer,
  removeWireguardPeer,
  sameBytes,
  setWireguardPeer,
  type WireguardPeer,
} from '../../../lib/genetlink/wireguard.ts';
import { formatIp, formatPrefix, type IpPrefix, sameIp } from '../../../lib/ip.ts';
import type { ObjectKind, Place } from '../../dataplane/objects/kind.ts';
import { refusedByKernel } from '../../dataplane/send-changes.ts';
import type { WireguardControl } from './wireguard-control.ts';
import { keyText } from './wireguard-key.ts';

export interface WantedWireguardPeer extends WireguardPeer {
  readonly endpoint: Endpoint;
}

/** WireGuard regards a session as dead after this time (its section 6.2, REJECT_AFTER_TIME). */
export const SESSION_SEC = 180;

/**
 * How many new peers are greeted in a second. A greeting costs both nodes a handshake, some tenths of a millisecond, and a packet of a pod
 * must not wait for those of thousands of peers.
 */
const GREETINGS_A_SECOND = 100;

/**
 * The kind, for the devices that `control` reaches. A peer that roams has another endpoint than its lease says. That is right while its
 * session lives: behind a NAT it can be reached in no other way. The endpoint is set again when the session is dead, or when the lease
 * names another endpoint than the agent set before. `unixSec` returns the time of day.
 *
 * A new peer is greeted: it may know this node from before, and would for 15 seconds encrypt for a session that is gone with the former
 * device or key.
 */
export function wireguardPeerKind(
  control: WireguardControl,
  unixSec: () => number = () => Date.now() / 1000,
): ObjectKind<WantedWireguardPeer, PresentWireguardPeer> {
  const lastSet = new Map<string, Endpoint>();
  const mayGreet = upToEachSecond(GREETINGS_A_SECOND, unixSec);
  const isWellPlaced = (have: PresentWireguardPeer, want: WantedWireguardPeer): boolean => {
    if (have.endpoint !== undefined && sameEndpoint(have.endpoint, want.endpoint)) return true;
    const before = lastSet.get(keyText(want.publicKey));
    const isAlive = unixSec() - have.handshakeSec < SESSION_SEC;
    return isAlive && (before === undefined || sameEndpoint(before, want.endpoint));
  };
  return {
    name: 'peer',
    wantedKey: ({ publicKey }) => keyText(publicKey),
    presentKey: ({ publicKey }) => keyText(publicKey),
    isRight: (have, want) =>
      isWellPlaced(have, want) &&
      have.keepaliveSec === want.keepaliveSec &&
      sameBytes(have.presharedKey, want.presharedKey) &&
      samePrefixes(have.allowedIps, want.allowedIps),
    isOurs: () => true,
    list: (_, { tunnel }) => (tunnel === undefined ? [] : control.read(tunnel).peers),
    asWanted: (want) => ({ ...want, handshakeSec: 0, rxBytes: 0, txBytes: 0 }),
    put(want, have, { tunnel }) {
      const keeps = have !== undefined && isWellPlaced(have, want);
      if (!keeps) lastSet.set(keyText(want.publicKey), want.endpoint);
      const peer = keeps ? { ...want, endpoint: undefined } : want;
      const greets = have === undefined && mayGreet();
      return setWireguardPeer(control.ref(deviceOf(tunnel)), peer, spellPeer(want), greets);
    },
    remove({ publicKey }, { tunnel }) {
      lastSet.delete(keyText(publicKey));
      return removeWireguardPeer(control.ref(deviceOf(tunnel)), publicKey, `peer ${keyText(publicKey)}`);
    },
    spell: ({ publicKey }) => `wireguard peer ${keyText(publicKey)}`,
    difference: (have) => `had ${spellRest(have)}`,
    execute: (requests) => Promise.resolve(refusedByKernel(control, requests)),
  };
}

/** Returns a function that returns true at most `most` times in a second. */
function upToEachSecond(most: number, unixSec: () => number): () => boolean {
  let [second, count] = [0, 0];
  return () => {
    const now = Math.floor(unixSec());
    if (now !== second) [second, count] = [now, 0];
    count += 1;
    return count <= most;
  };
}

function deviceOf(tunnel: Place['tunnel']): NonNullable<Place['tunnel']> {
  if (tunnel === undefined) throw new Error('a WireGuard peer without a device');
  return tunnel;
}

function sameEndpoint(a: Endpoint, b: Endpoint): boolean {
  return a.port === b.port && sameIp(a.ip, b.ip);
}

/** Whether both have the same prefixes, in any order. */
function samePrefixes(a: readonly IpPrefix[], b: readonly IpPrefix[]): boolean {
  const texts = new Set(a.map(formatPrefix));
  return a.length === b.length && b.every((prefix) => texts.has(formatPrefix(prefix)));
}

/** In the syntax of wg(8). The preshared key is left out, since this text goes to logs. */
function spellPeer(peer: WantedWireguardPeer): string {
  return `peer ${keyText(peer.publicKey)} ${spellRest(peer)}`;
}

function spellRest({ endpoint, allowedIps, keepaliveSec }: WireguardPeer): string {
  const to = endpoint === undefined ? '' : `endpoint ${spellEndpoint(endpoint)} `;
  const keepalive = keepaliveSec === 0 ? '' : ` persistent-keepalive ${keepaliveSec}`;
  return `${to}allowed-ips ${allowedIps.map(formatPrefix).join(',')}${keepalive}`;
}

function spellEndpoint({ ip, port }: Endpoint): string {
  return ip.family === 4 ? `${formatIp(ip)}:${port}` : `[${formatIp(ip)}]:${port}`;
}
