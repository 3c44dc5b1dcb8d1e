// What preflight knows about a node: the doctor's view, and facts that matter only before Weft is installed.

import type { Ip, IpPrefix } from '../../../lib/ip.ts';
import type { View } from '../view/view.ts';
import type { KernelTries } from './kernel-tries.ts';

/** An nftables chain that is attached to a hook. */
export interface BaseChain {
  readonly family: string;
  readonly table: string;
  readonly name: string;
  readonly hook: string;
  readonly policy: string;
}

/** A program that manages interfaces or routes of this node. */
export interface NetworkManager {
  readonly name: 'NetworkManager' | 'systemd-networkd';
  /** Whether its configuration excludes Weft's devices. */
  readonly sparesDevices: boolean;
}

/** The CNI configuration of another program. */
export interface OtherConf {
  readonly file: string;
  readonly types: readonly string[];
}

/** The result of sending a packet with the full size of the interface to another node. */
export interface SizeTry {
  readonly peer: Ip;
  readonly bytes: number;
  /** `unknown` when not even a small packet was answered, as behind a silent firewall. */
  readonly result: 'passes' | 'too large' | 'unknown';
}

export interface PreflightFacts {
  readonly view: View;
  readonly kernel: KernelTries;
  /** Whether these executables are in PATH. */
  readonly programs: { readonly nft: boolean; readonly iptables: boolean };
  /** The port and the VNI that the tunnel will have; undefined for a backend without a tunnel. */
  readonly tunnel: { readonly vni: number | undefined; readonly port: number } | undefined;
  /** Programs that have the tunnel's UDP port. */
  readonly portUsers: readonly string[];
  /** The agent's HTTP port, if something has it. */
  readonly healthPortTaken: number | undefined;
  readonly chains: readonly BaseChain[];
  readonly managers: readonly NetworkManager[];
  readonly firewalld: { readonly isActive: boolean; readonly trusts: boolean };
  readonly otherConfs: readonly OtherConf[];
  /** Names of devices and programs that belong to other overlays. */
  readonly otherCnis: readonly string[];
  /** What flannel, running or not, has left here. */
  readonly flannel: readonly string[];
  /** Files that switch forwarding off at the next boot. */
  readonly forwardingFiles: readonly string[];
  /** The podCIDRs of this node's Node object; undefined when the store is not Kubernetes or does not answer. */
  readonly podCidrs: readonly IpPrefix[] | undefined;
  /** Why the store did not answer. */
  readonly storeProblem: string | undefined;
  readonly sizes: readonly SizeTry[];
}
