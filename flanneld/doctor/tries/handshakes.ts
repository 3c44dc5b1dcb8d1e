// Adds to findings about peers without a WireGuard handshake what the device counted while the probes asked those peers.

import type { PresentWireguardPeer } from '../../../lib/genetlink/wireguard.ts';
import { keyText } from '../../backend/wireguard/wireguard-key.ts';
import type { Draft } from '../draft.ts';
import type { View } from '../view/view.ts';
import { readDevice } from '../view/wireguard-facts.ts';
import type { TryTools } from './try-tools.ts';

export function withHandshakes(drafts: readonly Draft[], view: View, { sys }: Pick<TryTools, 'sys'>): Draft[] {
  if (!drafts.some(({ id }) => id === 'wireguard-no-handshake')) return [...drafts];
  const peers = new Map<string, PresentWireguardPeer>();
  for (const { device, wanted } of view.wireguard) {
    const now = readDevice(sys, device, view.families);
    const byKey = new Map(now?.peers.map((peer) => [keyText(peer.publicKey), peer]));
    for (const { key, publicKey } of wanted) {
      const peer = byKey.get(keyText(publicKey));
      if (peer !== undefined) peers.set(key, peer);
    }
  }
  return drafts.map((draft) => told(draft, peers.get(draft.peer ?? ''), view));
}

/**
 * The draft with the device's counters for the peer. A handshake that arrives under the right key but is not completed has a wrong
 * preshared key.
 */
export function told(draft: Draft, peer: PresentWireguardPeer | undefined, { node, nowMs }: View): Draft {
  if (draft.id !== 'wireguard-no-handshake' || peer === undefined) return draft;
  const { handshakeSec, rxBytes, txBytes } = peer;
  const age = handshakeSec === 0 ? 'never' : `${Math.max(0, Math.round(nowMs / 1000) - handshakeSec)} s ago`;
  const evidence = `${draft.evidence}; wg show: latest handshake ${age}, ${rxBytes} bytes received, ${txBytes} sent`;
  if (handshakeSec !== 0 || rxBytes === 0) return { ...draft, evidence };
  return {
    ...draft,
    evidence,
    cause: `${node} and ${draft.peer} complete no handshake although packets with the right key arrive, because their preshared keys differ`,
    fix: `give all nodes the same "PSK" in net-conf.json, and restart the agents that have another one`,
  };
}
