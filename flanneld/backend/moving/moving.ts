// A node that moves from vxlan to WireGuard: it has the vxlan overlay, and in addition the device, peers and routes of WireGuard. A peer's
// pods are reached through WireGuard while handshakes with the peer succeed, else by vxlan as before.

import type { Plan, PlannedPeer } from '../../dataplane/plan.ts';
import type { LeaseSnapshot } from '../../subnet/manager.ts';
import type { BackendTools, OverlaySpec } from '../backend.ts';
import type { WireguardConf } from '../wireguard/wireguard-conf.ts';
import { type KeyPair, keyText } from '../wireguard/wireguard-key.ts';
import { notYetMoved } from './moved-lease.ts';
import { joinPeers, type MovingPeer, type WireguardPeers } from './moving-peers.ts';
import { WireguardWay } from './wireguard-way.ts';

/** The overlay of `base` that also uses WireGuard. `keys` are this node's own. */
export function movingOverlay<P extends PlannedPeer>(
  base: OverlaySpec<P>,
  conf: WireguardConf,
  keys: KeyPair,
  tools: BackendTools,
): OverlaySpec<MovingPeer<P>> {
  const way = new WireguardWay(conf, keys, base.settings, tools);
  // No fast path during a move: its programs would send all packets into the vxlan tunnel, even where WireGuard should carry them.
  const { fastPath: _fastPath, isDirect, ...rest } = base;
  return {
    ...rest,
    mtu: (underlay) => Math.min(base.mtu(underlay), way.mtu(underlay)),
    ensureDevice(underlay, _mtu, onChange) {
      // The vxlan device keeps its larger MTU, because pods that were started before the move still send packets of that size.
      const device = base.ensureDevice?.(underlay, base.mtu(underlay), onChange);
      if (device === undefined) throw new Error(`${base.name} has no device to move from`);
      way.ensure(underlay, onChange);
      return device;
    },
    secondDevice: () => way.device,
    kinds: [...base.kinds, ...way.kinds],
    objects: (peer, only) => [
      ...(peer.former === undefined ? [] : base.objects(peer.former, only)),
      ...way.objects(peer),
    ],
    plan: planner(base, way),
    planAgainMs: () => way.lookAgainMs(),
    ...(isDirect && {
      isDirect: ({ former, isEncrypted }: MovingPeer<P>) => former !== undefined && !isEncrypted && isDirect(former),
    }),
    isEncrypted: ({ isEncrypted }) => isEncrypted,
    facts: () => ({ ...base.facts?.(), publicKey: keyText(keys.publicKey) }),
    async close() {
      way.close();
      await base.close?.();
    },
  };
}

interface Last<P extends PlannedPeer> {
  readonly former: Plan<P>;
  readonly wireguard: WireguardPeers;
  readonly alive: ReadonlySet<string>;
  readonly plan: Plan<MovingPeer<P>>;
}

/** Joins the plan of `base` with the WireGuard peers; the plan is the same object as long as nothing has changed. */
function planner<P extends PlannedPeer>(base: OverlaySpec<P>, way: WireguardWay): OverlaySpec<MovingPeer<P>>['plan'] {
  let known: { readonly leases: LeaseSnapshot['leases']; readonly former: LeaseSnapshot['leases'] } | undefined;
  let last: Last<P> | undefined;
  return async (snapshot, context) => {
    const { leases } = snapshot;
    if (known?.leases !== leases) known = { leases, former: notYetMoved(leases) };
    const former = await base.plan({ ...snapshot, leases: known.former }, context);
    const wireguard = way.peersIn(snapshot);
    const alive = way.look(wireguard.peers);
    if (last?.former === former && last.wireguard === wireguard && last.alive === alive) return last.plan;
    const plan = joinPeers(former, wireguard, ({ publicKey }) => alive.has(keyText(publicKey)));
    last = { former, wireguard, alive, plan };
    return plan;
  };
}
