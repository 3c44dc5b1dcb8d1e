// Probes the peers, through the tunnel and directly (flanneld/probes).

import { randomBytes } from 'node:crypto';
import { type ProbeSide, probePeers } from '../../probes/probe-peers.ts';
import type { Draft } from '../draft.ts';
import { draftOf } from '../settle.ts';
import type { FamilyFacts } from '../view/facts.ts';
import type { View } from '../view/view.ts';
import { withHandshakes } from './handshakes.ts';
import type { TryTools } from './try-tools.ts';

/** Which peers to probe, and the agents' port. */
export interface PeerChoice {
  /** Only the peer of this name. */
  readonly peer: string | undefined;
  readonly allPeers: boolean;
  readonly probePort: number | undefined;
}

const DEFAULT_PORT = 8477;

export interface PeersTried {
  readonly drafts: readonly Draft[];
  /** Which peers were left out, in words; undefined when every peer was probed. */
  readonly leftOut: string | undefined;
}

/** Rejects with SysError when the sockets cannot be opened. */
export async function triedPeers(view: View, choice: PeerChoice, tools: TryTools): Promise<PeersTried> {
  const sides = view.families.flatMap((facts) => sideOf(facts, view, choice.peer));
  if (sides.every(({ peers }) => peers.length === 0)) return { drafts: [], leftOut: unknownPeer(choice) };
  const { findings, probed, of } = await probePeers({
    node: view.node,
    port: choice.probePort ?? DEFAULT_PORT,
    sides,
    ...(choice.allPeers && { most: Number.POSITIVE_INFINITY }),
    tools: { ...tools, random: Math.random, randomNonce: () => randomBytes(8).readBigUInt64BE() },
  });
  const drafts = withHandshakes(findings.flatMap(draftOf), view, tools);
  const leftOut =
    probed < of
      ? `${of - probed} of ${of} peers were not probed; --all probes all of them, --peer NAME one`
      : undefined;
  return { drafts, leftOut };
}

function unknownPeer({ peer }: PeerChoice): string | undefined {
  return peer === undefined
    ? undefined
    : `there is no peer ${peer}: its lease is missing, cannot be used, or is this node’s own`;
}

function sideOf(
  { family, subnet, tunnel, peers }: FamilyFacts,
  { underlay, subnetEnv }: Pick<View, 'underlay' | 'subnetEnv'>,
  only: string | undefined,
): ProbeSide[] {
  const { link } = tunnel ?? {};
  const local = underlay?.locals.find((ip) => ip.family === family);
  if (tunnel === undefined || link === undefined || subnet === undefined) return [];
  const isVxlan = tunnel.vni !== undefined;
  if (isVxlan && link.mac === undefined) return [];
  if (underlay?.link === undefined || local === undefined) return [];
  // Pods may have a smaller MTU than the device, namely that of the device to which the cluster moves.
  const mtu = subnetEnv.state === 'right' ? Math.min(subnetEnv.value.mtu, link.mtu) : link.mtu;
  return [
    {
      place: {
        ...{ family, subnet, tunnel, mtu, ...(isVxlan && link.mac && { mac: link.mac }) },
        ...{ iface: underlay.name, local, ifindexes: [link.index, underlay.link.index] },
      },
      peers: peers.flatMap(({ key, subnet: theirs, publicIp, mac }) =>
        (isVxlan && mac === undefined) || (only !== undefined && key !== only)
          ? []
          : [{ key, subnet: theirs, publicIp, ...(mac && { mac }) }],
      ),
    },
  ];
}
