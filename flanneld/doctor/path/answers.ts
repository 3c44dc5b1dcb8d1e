// The kernel's answers about one path. read-answers.ts asks; hops.ts judges them, as a pure function.

import type { Family, Ip, IpPrefix } from '../../../lib/ip.ts';
import type { Connection } from '../../../lib/netfilter/conntrack.ts';
import type { Address } from '../../../lib/rtnetlink/address.ts';
import type { FdbEntry } from '../../../lib/rtnetlink/fdb.ts';
import type { Link } from '../../../lib/rtnetlink/link.ts';
import type { Neigh } from '../../../lib/rtnetlink/neigh.ts';
import type { Nexthop } from '../../../lib/rtnetlink/nexthop.ts';
import type { Route } from '../../../lib/rtnetlink/route.ts';
import type { Rule } from '../../../lib/rtnetlink/rule.ts';
import type { FastPathStatus } from '../../health/status/report.ts';
import type { Transport } from '../../pods/refusal/packet.ts';
import type { PacketFate } from './packet-fate.ts';
import type { Place } from './place.ts';

/** The answer to one look-up in the routing tables. */
export interface RouteAnswer {
  /** The look-up as a command: `ip route get 10.244.2.3 from 10.244.1.2 iif cni0`. */
  readonly spelled: string;
  /** Undefined when the kernel refuses the packet. */
  readonly route: Route | undefined;
  /** The kernel's error for a refused packet. */
  readonly refused: string | undefined;
  /** The entry of the main table that the packet follows, or that refuses it. */
  readonly entry: Route | undefined;
  /** The rule that leads the packet out of the main table, or refuses it. */
  readonly rule: Rule | undefined;
}

/** A pod of this node. */
export interface PodAnswer {
  readonly ip: Ip;
  /** Names of its port by the runtime's cache and the plugin's files; empty when neither knows a pod with this address. */
  readonly names: readonly string[];
  /** The first of these ports that exists. */
  readonly port: Link | undefined;
  /** The bridge's neighbour entry for it. */
  readonly neigh: Neigh | undefined;
}

export interface BridgeAnswer {
  readonly name: string;
  readonly link: Link | undefined;
  readonly addresses: readonly Address[];
  /** The address that the bridge should have, which is the pods' gateway. */
  readonly gateway: Ip | undefined;
}

/** Whether packets that arrive by a device are forwarded. */
export interface ForwardingAnswer {
  readonly knob: string;
  readonly isOn: boolean;
}

/** What happened to a test packet, or why none could be sent. */
export type FateAnswer =
  | { readonly fates: readonly PacketFate[]; readonly refusal: string | undefined }
  | { readonly unknown: string };

/** The tunnel's entries for one peer. */
export interface TunnelAnswer {
  readonly device: Link;
  readonly gateway: Ip;
  readonly nexthopId: number | undefined;
  /** Undefined where the route has no nexthop object, or the kernel has none with that id. */
  readonly nexthop: Nexthop | undefined;
  readonly neigh: Neigh | undefined;
  readonly fdb: readonly FdbEntry[];
  /** The MAC and the address in the peer's lease; undefined when the lease is unknown or has no MAC. */
  readonly wanted: { readonly mac: string; readonly publicIp: Ip } | undefined;
  /** How many bytes of an underlay packet the tunnel's headers take. */
  readonly overheadBytes: number;
}

/** The packet's way on the underlay. */
export interface OuterAnswer {
  readonly to: Ip;
  readonly route: RouteAnswer;
  readonly link: Link | undefined;
  /** The address of the next hop. */
  readonly nextHop: Ip;
  readonly neigh: Neigh | undefined;
  /** A packet to the tunnel's port that was stopped before it left; undefined without a tunnel. */
  readonly sent: FateAnswer | undefined;
  readonly port: number | undefined;
}

export interface Answers {
  readonly node: string;
  readonly family: Family;
  readonly network: IpPrefix | undefined;
  readonly from: Place;
  readonly to: Place;
  readonly transport: Transport;
  /** Whether the user named this port. */
  readonly isPortGiven: boolean;
  /** The address in the peer's lease; undefined without a peer. */
  readonly peerAddress: Ip | undefined;
  /** Where the packet goes after translation; `to` when nothing is translated. */
  readonly target: Place;
  readonly links: readonly Link[];
  readonly bridge: BridgeAnswer;
  /** The name that the tunnel's device should have; undefined where the backend has none. */
  readonly deviceName: string | undefined;
  readonly fromPod: PodAnswer | undefined;
  readonly toPod: PodAnswer | undefined;
  readonly forwarding: ForwardingAnswer | undefined;
  readonly sent: FateAnswer;
  /** The route of the packet on this node. */
  readonly route: RouteAnswer | undefined;
  readonly tunnel: TunnelAnswer | undefined;
  readonly outer: OuterAnswer | undefined;
  /** The route of the answer on this node. */
  readonly back: RouteAnswer | undefined;
  /** What the agent says about the fast path; undefined where it is not turned on, or no agent answers. */
  readonly fastPath: FastPathStatus | undefined;
  readonly connections: readonly Connection[];
  readonly tracked: { readonly count: number; readonly max: number } | undefined;
}

export function linkOf(answers: Pick<Answers, 'links'>, index: number | undefined): Link | undefined {
  return answers.links.find((link) => link.index === index);
}

/** The peer to which the packet goes, for a finding; empty where the target belongs to no peer. */
export function peerOf({ target }: Pick<Answers, 'target'>): { peer?: string } {
  return target.peer === undefined ? {} : { peer: target.peer };
}
