// What the doctor knows about a node: read once, then judged by the checks, which are pure functions of it. A part that could not be read
// is undefined, and a check then has no finding, because unknown is not wrong.

import type { Ip } from '../../../lib/ip.ts';
import type { NetConf } from '../../../lib/net-conf.ts';
import type { SubnetEnv } from '../../../lib/subnet-env.ts';
import type { CniFacts } from './cni-facts.ts';
import type {
  AgentFacts,
  BridgeFacts,
  FamilyFacts,
  FileFacts,
  KernelFacts,
  LeaseFacts,
  UnderlayFacts,
} from './facts.ts';
import type { PathFacts } from './path-facts.ts';
import type { PodSideView, PoolFacts } from './pod-facts.ts';
import type { TableFacts } from './table-facts.ts';
import type { WireguardFacts } from './wireguard-facts.ts';

export interface View {
  readonly node: string;
  readonly agent: AgentFacts;
  readonly subnetFile: string;
  /** The configuration of the cluster's network; undefined when it cannot be read. */
  readonly conf: NetConf | undefined;
  readonly leases: LeaseFacts | undefined;
  readonly subnetEnv: FileFacts<SubnetEnv>;
  readonly families: readonly FamilyFacts[];
  readonly kernel: KernelFacts | undefined;
  readonly underlay: UnderlayFacts | undefined;
  readonly bridge: BridgeFacts;
  readonly paths: PathFacts;
  /** Undefined when the conflist wants no bridge. */
  readonly podSide: PodSideView | undefined;
  readonly pools: readonly PoolFacts[];
  readonly cni: CniFacts;
  readonly tables: TableFacts;
  /** One for each WireGuard device of ours. */
  readonly wireguard: readonly WireguardFacts[];
  /** Addresses of Services, each with the place where it was found. */
  readonly services: readonly { readonly ip: Ip; readonly what: string }[];
  /** When the view was read, by the wall clock. */
  readonly nowMs: number;
  /** Values in `/proc/sys` by their dotted name; dots in a device's name become slashes, as for sysctl(8). */
  readonly sysctls: ReadonlyMap<string, string>;
  /** What could not be read, one line each. */
  readonly failures: readonly string[];
}
