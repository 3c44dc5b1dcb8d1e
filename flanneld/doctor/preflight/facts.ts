// What preflight knows of a node: the doctor's view, and what matters only before Weft is installed.

import type { Ip, IpPrefix } from '../../../lib/ip.ts';
import type { View } from '../view/view.ts';
import type { KernelTries } from './kernel-tries.ts';

/** A chain of nftables that hangs on a hook. */
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
  /** Whether its configuration leaves Weft's devices alone. */
  readonly sparesDevices: boolean;
}

/** A CNI configuration of another program. */
export interface OtherConf {
  readonly file: string;
  readonly types: readonly string[];
}

/** Whether a packet of the full size of the interface reaches another node. */
export interface SizeTry {
  readonly peer: Ip;
  readonly bytes: number;
  /** `unknown` when not even a small one was answered, as where a firewall is silent. */
  readonly result: 'passes' | 'too large' | 'unknown';
}

export interface PreflightFacts {
  readonly view: View;
  readonly kernel: KernelTries;
  /** Executables in PATH. */
  readonly programs: { readonly nft: boolean; readonly iptables: boolean };
  /** The port and the VNI the tunnel will have; undefined for a backend without a tunnel. */
  readonly tunnel: { readonly vni: number | undefined; readonly port: number } | undefined;
  /** Programs on the tunnel's UDP port. */
  readonly portUsers: readonly string[];
  /** The agent's HTTP port, when somebody has it. */
  readonly healthPortTaken: number | undefined;
  readonly chains: readonly BaseChain[];
  readonly managers: readonly NetworkManager[];
  readonly firewalld: { readonly isActive: boolean; readonly trusts: boolean };
  readonly otherConfs: readonly OtherConf[];
  /** Names of devices and programs by which other overlays are recognized. */
  readonly otherCnis: readonly string[];
  /** What flannel, running or not, has left here. */
  readonly flannel: readonly string[];
  /** Files that switch forwarding off at the next boot. */
  readonly forwardingFiles: readonly string[];
  /** The podCIDRs of this node's Node object; undefined when the store is not Kubernetes, or has not answered. */
  readonly podCidrs: readonly IpPrefix[] | undefined;
  /** Why the store did not answer. */
  readonly storeProblem: string | undefined;
  readonly sizes: readonly SizeTry[];
}
