// Starts the loop of probes for the overlays of this node, and tells it where they are.

import { randomBytes } from 'node:crypto';
import { parseIp } from '../../lib/ip.ts';
import { parseMac } from '../../lib/mac.ts';
import { PeerError } from '../backend/lease-fields.ts';
import type { Overlay } from '../backend/overlay.ts';
import { type OverlayConfig, readPeer } from '../backend/vxlan/vxlan-lease.ts';
import type { Options } from '../cli/options.ts';
import type { ProbeMeter } from '../health/probe-meter.ts';
import { Prober } from '../probes/prober.ts';
import type { LeasedPeer, LeasedPlace } from '../probes/target.ts';
import type { LeaseView } from '../subnet/lease-view.ts';
import type { Lease } from '../subnet/manager.ts';
import type { AgentTools } from './tools.ts';

export interface ProbeParts {
  readonly overlays: readonly Overlay[];
  readonly leases: LeaseView;
  readonly options: Options;
  readonly tools: AgentTools;
  readonly meter: ProbeMeter;
}

/** Undefined with `--probes=off`, and where no overlay is a VXLAN one. */
export function startProbes({ overlays, leases, options, tools, meter }: ProbeParts): Prober | undefined {
  const { probePort: port } = options;
  const followers = overlays.map(placeFollower).filter((one) => one !== undefined);
  if (port === undefined || followers.length === 0) return undefined;
  return new Prober({
    node: tools.nodeName,
    port,
    places: () => followers.map((place) => place()).filter((place) => place !== undefined),
    leases: () => leases.latest.leases,
    tools: { ...tools, random: Math.random, randomNonce: () => randomBytes(8).readBigUInt64BE() },
    meter,
  });
}

/** Returns a function that gives the same object as long as nothing has changed; undefined for an overlay without a VTEP. */
function placeFollower(overlay: Overlay): (() => LeasedPlace | undefined) | undefined {
  const { mac, vni, port, iface, local, publicIp } = overlay.status();
  if (mac === undefined || vni === undefined || port === undefined) return undefined;
  const { family, network, subnet } = overlay;
  const config: OverlayConfig = { family, network, subnet, publicIp: parseIp(publicIp), vni, mac: parseMac(mac) };
  const fixed = {
    ...{ family, subnet, vni, mac: config.mac, device: overlay.name, tunnelPort: port, iface, local: parseIp(local) },
    readPeer: (key: string, lease: Lease) => usablePeer(key, lease, config),
  };
  let last: LeasedPlace | undefined;
  return () => {
    const { place, mtuBytes: mtu } = overlay;
    if (place?.tunnel === undefined || mtu === 0) return undefined;
    const ifindexes = [place.tunnel.index, place.underlay.index];
    const isSame = last?.mtu === mtu && ifindexes.every((index, at) => last?.ifindexes[at] === index);
    if (!isSame) last = { ...fixed, mtu, ifindexes };
    return last;
  };
}

/** What is wrong with a lease that cannot be used is shown among the problems of the overlay. */
function usablePeer(key: string, lease: Lease, config: OverlayConfig): LeasedPeer | undefined {
  try {
    return readPeer(key, lease, config);
  } catch (error) {
    if (error instanceof PeerError) return undefined;
    throw error;
  }
}
