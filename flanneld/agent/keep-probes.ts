// Starts the loop of probes for this node's overlays, and tells it each overlay's addresses and devices.

import { randomFillSync } from 'node:crypto';
import { parseIp } from '../../lib/ip.ts';
import { type Mac, parseMac } from '../../lib/mac.ts';
import { type NodeConfig, PeerError } from '../backend/lease-fields.ts';
import { asMoved } from '../backend/moving/moved-lease.ts';
import type { Overlay } from '../backend/overlay.ts';
import { readRoutePeer } from '../backend/route-peer.ts';
import { readPeer } from '../backend/vxlan/vxlan-lease.ts';
import type { Options } from '../cli/options.ts';
import type { TunnelWay } from '../dataplane/tunnel-way.ts';
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

/** Undefined with `--probes=off`, and where no overlay has a tunnel that can be probed (OverlaySpec.tunnel). */
export function startProbes({ overlays, leases, options, tools, meter }: ProbeParts): Prober | undefined {
  const { probePort: port } = options;
  const followers = overlays.map(placeFollower).filter((one) => one !== undefined);
  if (port === undefined || followers.length === 0) return undefined;
  return new Prober({
    node: tools.nodeName,
    port,
    places: () => followers.map((place) => place()).filter((place) => place !== undefined),
    leases: () => leases.latest.leases,
    tools: { ...tools, random: Math.random, randomNonce: nonceSource() },
    meter,
  });
}

/** Reads random bytes for many numbers at once, because a read takes ten times as long as making a number. */
function nonceSource(): () => bigint {
  const pool = new BigUint64Array(128);
  let left = 0;
  return () => {
    if (left === 0) {
      randomFillSync(pool);
      left = pool.length;
    }
    left -= 1;
    return pool[left] ?? 0n;
  };
}

/** Returns a function that returns the same object as long as nothing has changed, and undefined for an overlay that cannot be probed. */
function placeFollower(overlay: Overlay): (() => LeasedPlace | undefined) | undefined {
  const { family, network, subnet, tunnel } = overlay;
  if (tunnel === undefined) return undefined;
  const { mac: macText, iface, local, publicIp } = overlay.status();
  const mac = macText === undefined ? undefined : parseMac(macText);
  const config = { family, network, subnet, publicIp: parseIp(publicIp) };
  const fixed = {
    ...{ family, subnet, tunnel, iface, local: parseIp(local), ...(mac && { mac }) },
    readPeer: readerOf(tunnel, config, mac),
  };
  let last: LeasedPlace | undefined;
  return () => {
    const { place, mtuBytes: mtu } = overlay;
    if (place?.tunnel === undefined || mtu === 0) return undefined;
    const ifindexes = [...overlay.devices, place.underlay].map(({ index }) => index);
    const isSame = last?.mtu === mtu && last.ifindexes.join() === ifindexes.join();
    if (!isSame) last = { ...fixed, mtu, ifindexes };
    return last;
  };
}

/** A lease that cannot be used is skipped here; the overlay's problems say why. */
function readerOf(
  { type, vni, hasKeys = false }: TunnelWay,
  config: NodeConfig,
  mac: Mac | undefined,
): LeasedPlace['readPeer'] {
  const read = (key: string, lease: Lease): LeasedPeer | undefined =>
    vni === undefined || mac === undefined
      ? readRoutePeer(key, (hasKeys && asMoved(lease)) || lease, { ...config, types: [type] })
      : readPeer(key, lease, { ...config, vni, mac });
  return (key, lease) => {
    try {
      return read(key, lease);
    } catch (error) {
      if (error instanceof PeerError) return undefined;
      throw error;
    }
  };
}
