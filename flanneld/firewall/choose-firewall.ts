// Chooses the flavour of the firewall (nftables or iptables), and says why.

import type { Family, IpPrefix } from '../../lib/ip.ts';
import type { NetConf } from '../../lib/net-conf.ts';
import type { Netfilter } from '../../lib/netfilter/netfilter-socket.ts';
import type { FirewallOptions as FirewallFlags } from '../cli/options.ts';
import type { DriftNotes } from '../health/drift-ledger.ts';
import type { Logger } from '../health/log.ts';
import type { Flavour } from '../health/status/report.ts';
import type { Firewall, FirewallOptions, TunnelWish } from './firewall.ts';
import { IptablesFirewall } from './iptables.ts';
import { askingKernelForTables, iptablesFinder } from './iptables-programs.ts';
import { askingKernel, type Nft } from './nft-program.ts';
import { NftablesFirewall } from './nftables.ts';
import type { GuardedLease } from './peer-sets.ts';

/** What the rules of one enabled family depend on. */
export interface Overlay {
  readonly family: Family;
  readonly vni: number;
  readonly network: IpPrefix;
  readonly subnet: IpPrefix;
  /** The UDP port of its tunnel, if anybody may send to it. */
  readonly openPort?: { readonly port: number; readonly isVxlan: boolean } | undefined;
  /** The devices by which packets from other nodes' pods arrive. */
  readonly devices: readonly { readonly name: string }[];
}

export interface OpenTools {
  readonly nft: Nft;
  readonly log: Logger;
  readonly drift: DriftNotes;
  /** The environment's PATH. */
  readonly path: string;
  /** The process's connection to netfilter; it stays open. */
  readonly netfilter: Netfilter;
  /** The present leases by key. */
  readonly leases: () => ReadonlyMap<string, GuardedLease>;
  /** The pods' bridge. */
  readonly bridge: string;
}

/** Differs from flannel, for which a missing EnableNFTables means false. flannel's own configuration writes false explicitly. */
function chooseFlavour({ enableNftables }: Pick<NetConf, 'enableNftables'>): { flavour: Flavour; why: string } {
  if (enableNftables === false) return { flavour: 'iptables', why: 'EnableNFTables is false' };
  const why = enableNftables === true ? 'EnableNFTables is true' : 'EnableNFTables is not set, which means true';
  return { flavour: 'nftables', why };
}

/** Makes the firewall for a configuration; it reads and changes nothing yet. */
export function openFirewall(
  config: Pick<NetConf, 'enableNftables' | 'nonMasquerade'>,
  overlays: readonly Overlay[],
  flags: FirewallFlags,
  tools: OpenTools,
): Firewall {
  const { log, drift, path } = tools;
  const nft = askingKernel(tools.nft, tools.netfilter.netlink);
  const families = overlays.map(({ family, vni, network, subnet }) => ({
    family,
    vni,
    network,
    subnet,
    masquerade: flags.ipMasq,
    nonMasquerade: config.nonMasquerade.filter(({ ip }) => ip.family === family),
    forward: flags.forwardRules,
  }));
  const tunnel = tunnelOf(overlays, flags, tools);
  const options: FirewallOptions = { families, fullyRandom: flags.fullyRandom, ...(tunnel && { tunnel }) };
  const { flavour, why } = chooseFlavour(config);
  log.info(
    { flavour, why, masquerade: flags.ipMasq, forward: flags.forwardRules, guard: flags.guard },
    'firewall flavour',
  );
  const find = askingKernelForTables(iptablesFinder(path), tools.netfilter.netlink);
  return flavour === 'iptables'
    ? new IptablesFirewall(options, why, { find, path, nft, log, drift })
    : new NftablesFirewall(options, why, { find, nft, log, drift });
}

/** Valid names of devices (net/core/dev.c, dev_valid_name), without characters that nft cannot take in quotes. */
const DEVICE_NAME = /^[^\s/:"\\*]{1,15}$/;

function tunnelOf(
  overlays: readonly Overlay[],
  { guard }: FirewallFlags,
  { netfilter, leases, bridge }: OpenTools,
): TunnelWish | undefined {
  const [first] = overlays;
  if (first === undefined) return undefined;
  const openPort = overlays.map((overlay) => overlay.openPort).find((found) => found !== undefined);
  return {
    vni: first.vni,
    devices: overlays.flatMap(({ devices }) => devices.map(({ name }) => name)),
    bridge: DEVICE_NAME.test(bridge) ? bridge : 'cni0',
    networks: overlays.map(({ network }) => network),
    subnets: overlays.map(({ subnet }) => subnet),
    guard,
    port: openPort?.port,
    isVxlan: openPort?.isVxlan === true,
    leases,
    netfilter,
  };
}
