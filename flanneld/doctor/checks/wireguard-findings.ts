// WireGuard: whether the device has the key that our lease announces, and the peers that their leases announce. Probes show whether a
// handshake succeeds (tries/handshakes.ts).

import { type PresentWireguardPeer, sameBytes } from '../../../lib/genetlink/wireguard.ts';
import { formatIp, formatPrefix, sameIp } from '../../../lib/ip.ts';
import { keyText } from '../../backend/wireguard/wireguard-key.ts';
import type { WireguardPlannedPeer } from '../../backend/wireguard/wireguard-peers.ts';
import { type Draft, run } from '../draft.ts';
import type { View } from '../view/view.ts';
import type { WireguardFacts } from '../view/wireguard-facts.ts';

/** WireGuard regards a session as dead after this time (its section 6.2, REJECT_AFTER_TIME). */
const SESSION_SEC = 180;
const NAMED = 5;

export function checkWireguard(view: View): Draft[] {
  return view.wireguard.flatMap((facts) => [
    ...ownKey(view, facts),
    ...missingPeers(view, facts),
    ...movedPeers(view, facts),
  ]);
}

function ownKey({ node }: View, { device, present, leasedKey }: WireguardFacts): Draft[] {
  const { publicKey } = present;
  if (leasedKey === undefined || (publicKey !== undefined && sameBytes(publicKey, leasedKey))) return [];
  return [
    {
      id: 'wireguard-key-mismatch',
      cause: `${device} has another key than this node’s lease publishes, so other nodes complete no handshake with it`,
      evidence: `the lease says ${keyText(leasedKey)}, ${device} has ${publicKey === undefined ? 'none' : keyText(publicKey)}`,
      fix: `on ${node}: restart the agent, which gives the device the key of its file and publishes that key; find out who runs wg set`,
    },
  ];
}

/** A running agent compares once a minute, because the kernel sends no events for peers. */
function missingPeers({ node }: View, { device, present, wanted }: WireguardFacts): Draft[] {
  const byKey = new Map(present.peers.map((peer) => [keyText(peer.publicKey), peer]));
  const lacks = wanted.flatMap((want) => {
    const lack = lackOf(want, byKey.get(keyText(want.publicKey)));
    return lack === undefined ? [] : [{ want, lack }];
  });
  const [first] = lacks;
  if (first === undefined) return [];
  const shown = lacks.slice(0, NAMED);
  const more = lacks.length > NAMED ? ` and ${lacks.length - NAMED} more` : '';
  return [
    {
      id: 'peer-entry-missing',
      ...(lacks.length === 1 && { peer: first.want.key }),
      cause: `the entry of ${device} for ${lacks.length === 1 ? first.want.key : `${lacks.length} nodes`} is missing or wrong`,
      evidence: shown.map(({ want, lack }) => `${want.key}: ${lack}`).join('; ') + more,
      fix: run(
        node,
        shown.map(({ want }) => commandOf(device, want)).join(' && '),
        'a running agent does this within a minute',
      ),
    },
  ];
}

function lackOf({ publicKey, allowedIps }: WireguardPlannedPeer, have: PresentWireguardPeer | undefined) {
  if (have === undefined) return `no peer ${keyText(publicKey)}`;
  const there = new Set(have.allowedIps.map(formatPrefix));
  const absent = allowedIps.map(formatPrefix).filter((prefix) => !there.has(prefix));
  return absent.length === 0 ? undefined : `allowed-ips of ${keyText(publicKey)} lack ${absent.join(', ')}`;
}

function commandOf(device: string, { publicKey, endpoint, allowedIps }: WireguardPlannedPeer): string {
  const { ip, port } = endpoint;
  const to = ip.family === 4 ? `${formatIp(ip)}:${port}` : `[${formatIp(ip)}]:${port}`;
  return `wg set ${device} peer ${keyText(publicKey)} endpoint ${to} allowed-ips ${allowedIps.map(formatPrefix).join(',')}`;
}

/** WireGuard follows a peer whose packets come from another address. Behind NAT that is right, so this is only mentioned. */
function movedPeers({ node, nowMs }: View, { device, present, wanted }: WireguardFacts): Draft[] {
  const byKey = new Map(present.peers.map((peer) => [keyText(peer.publicKey), peer]));
  return wanted.flatMap(({ key, publicKey, endpoint }): Draft[] => {
    const have = byKey.get(keyText(publicKey));
    const at = have?.endpoint;
    if (have === undefined || at === undefined || (at.port === endpoint.port && sameIp(at.ip, endpoint.ip))) return [];
    const ageSec = Math.round(nowMs / 1000) - have.handshakeSec;
    if (have.handshakeSec === 0 || ageSec >= SESSION_SEC) return [];
    return [
      {
        id: 'wireguard-endpoint-moved',
        peer: key,
        cause: `packets of ${key} come from an address or port that its lease does not name`,
        evidence: `wg show ${device} endpoints: ${formatIp(at.ip)} port ${at.port}; its lease says ${formatIp(endpoint.ip)} port ${endpoint.port}; last handshake ${ageSec} s ago`,
        fix: `behind NAT nothing is wrong; otherwise on ${key}: set the interface and address that lead to ${node} (--iface, --public-ip)`,
      },
    ];
  });
}
