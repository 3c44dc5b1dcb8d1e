// Starts the loop that checks the pods' side of the node (flanneld/pods/), with what it needs of the options, overlays, leases and tools.

import { formatIp, type Ip, type IpPrefix, overlaps } from '../../lib/ip.ts';
import { readTextIfPresent, statPath } from '../../lib/sys/file.ts';
import type { Overlay } from '../backend/overlay.ts';
import type { Options } from '../cli/options.ts';
import { ourConflists } from '../cni/conflist.ts';
import type { DriftNotes } from '../health/drift-ledger.ts';
import { podNetworkIn } from '../pods/pod-network.ts';
import { ForwardProbe } from '../pods/refusal/forward-probe.ts';
import type { Entrance } from '../pods/side/forwarding.ts';
import type { PathFamily } from '../pods/side/paths.ts';
import { PodSide, type PodSideFacts } from '../pods/side/pod-side.ts';
import { type PodSideLoop, startPodSideLoop } from '../pods/side/pod-side-loop.ts';
import type { LeaseView } from '../subnet/lease-view.ts';
import type { LeaseSnapshot } from '../subnet/manager.ts';
import type { AgentTools } from './tools.ts';

export interface PodSideParts {
  readonly overlays: readonly Overlay[];
  readonly leases: Pick<LeaseView, 'latest'>;
  readonly options: Pick<Options, 'cniConf' | 'cniConfDir' | 'cniStateDir'>;
  readonly tools: AgentTools;
  readonly drift: DriftNotes;
}

/** A few peers are enough: a policy rule that diverts the pod network diverts the packets to every peer. */
const PEERS_ASKED_ABOUT = 4;
const CONFLIST_LIMIT_BYTES = 1024 * 1024;

/** Starts the loop. */
export function keepPodSide({ overlays, leases, options, tools, drift }: PodSideParts): PodSideLoop {
  const conflists = (): string[] => conflistsInUse(options, tools);
  const side = new PodSide(
    {
      conflist: () => conflists()[0],
      podNetwork: () => podNetworkIn(conflists(), options.cniStateDir),
      cniStateDir: options.cniStateDir,
    },
    { ...tools, drift },
  );
  const isTaken = (ip: Ip): boolean =>
    statPath(tools.sys, `${podNetworkIn(conflists(), options.cniStateDir).addressFolder}/${formatIp(ip)}`) !==
    undefined;
  const probe = new ForwardProbe(isTaken, { ...tools, random: Math.random });
  return startPodSideLoop({ ...tools, side, facts: () => factsOf(overlays, leases.latest), probe });
}

/** The installed conflist comes first, because the runtime uses it; then the one that is installed once the node is ready. */
function conflistsInUse({ cniConf, cniConfDir }: PodSideParts['options'], { sys }: AgentTools): string[] {
  const installed = ourConflists(sys, cniConfDir).map(({ text }) => text);
  const own = cniConf === undefined ? undefined : readTextIfPresent(sys, cniConf, CONFLIST_LIMIT_BYTES);
  return own === undefined ? installed : [...installed, own];
}

function factsOf(overlays: readonly Overlay[], snapshot: LeaseSnapshot): PodSideFacts {
  return {
    families: overlays.map(({ network, subnet }) => ({ network, subnet })),
    mtuBytes: Math.min(...overlays.map(({ mtuBytes }) => mtuBytes)),
    tunnels: overlays.flatMap(entranceOf),
    paths: overlays.map((overlay) => pathsOf(overlay, snapshot)),
  };
}

function pathsOf(overlay: Overlay, { leases }: LeaseSnapshot): PathFamily {
  const { family, network, subnet, place, followsRoutes } = overlay;
  const peers: IpPrefix[] = [];
  for (const lease of leases.values()) {
    const other = family === 4 ? lease.subnet : lease.ipv6Subnet;
    if (other !== undefined && !overlaps(other, subnet)) peers.push(other);
    if (peers.length === PEERS_ASKED_ABOUT) break;
  }
  return {
    ...{ network, subnet, peers },
    device: place?.tunnel,
    underlay: followsRoutes ? place?.underlay : undefined,
  };
}

/** Packets from peers arrive by the overlay's device, or by the external interface where the overlay has none. */
function entranceOf({ place, devices, followsRoutes }: Overlay): readonly Entrance[] {
  if (place?.tunnel !== undefined) return devices;
  return place !== undefined && followsRoutes ? [place.underlay] : [];
}
