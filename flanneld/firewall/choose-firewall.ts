// Which flavour of the firewall a network gets, and why.

import type { Family, IpPrefix } from '../../lib/ip.ts';
import type { NetConf } from '../../lib/net-conf.ts';
import type { FirewallOptions as FirewallFlags } from '../cli/options.ts';
import type { DriftNotes } from '../health/drift-ledger.ts';
import type { Logger } from '../health/log.ts';
import type { Flavour } from '../health/status/report.ts';
import type { Firewall, FirewallOptions } from './firewall.ts';
import { IptablesFirewall } from './iptables.ts';
import { iptablesFinder } from './iptables-programs.ts';
import type { Nft } from './nft-program.ts';
import { NftablesFirewall } from './nftables.ts';

/** What the rules are about, of each enabled family. */
export interface Overlay {
  readonly family: Family;
  readonly vni: number;
  readonly network: IpPrefix;
  readonly subnet: IpPrefix;
}

export interface OpenTools {
  readonly nft: Nft;
  readonly log: Logger;
  readonly drift: DriftNotes;
  /** The environment's PATH. */
  readonly path: string;
}

/** Differs from flannel, for which an absent EnableNFTables is false: its stock configuration says false where it means it. */
function chooseFlavour({ enableNftables }: Pick<NetConf, 'enableNftables'>): { flavour: Flavour; why: string } {
  if (enableNftables === false) return { flavour: 'iptables', why: 'EnableNFTables is false' };
  const why = enableNftables === true ? 'EnableNFTables is true' : 'EnableNFTables is not set, which means true';
  return { flavour: 'nftables', why };
}

/** The firewall for a configuration; nothing is looked at or changed yet. */
export function openFirewall(
  config: Pick<NetConf, 'enableNftables' | 'nonMasquerade'>,
  overlays: readonly Overlay[],
  flags: FirewallFlags,
  { nft, log, drift, path }: OpenTools,
): Firewall {
  const families = overlays.map(({ family, vni, network, subnet }) => ({
    family,
    vni,
    network,
    subnet,
    masquerade: flags.ipMasq,
    nonMasquerade: config.nonMasquerade.filter(({ ip }) => ip.family === family),
    forward: flags.forwardRules,
  }));
  const options: FirewallOptions = { families, fullyRandom: flags.fullyRandom };
  const { flavour, why } = chooseFlavour(config);
  log.info({ flavour, why, masquerade: flags.ipMasq, forward: flags.forwardRules }, 'firewall flavour');
  const find = iptablesFinder(path);
  return flavour === 'iptables'
    ? new IptablesFirewall(options, why, { find, path, nft, log, drift })
    : new NftablesFirewall(options, why, { find, nft, log, drift });
}
