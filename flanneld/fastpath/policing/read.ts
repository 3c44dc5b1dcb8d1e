// Reads what of a node may police pods' packets: the packet filter by netlink, legacy iptables by its own program, which alone knows
// its rules, and what routing and IPsec have.

import type { Family } from '../../../lib/ip.ts';
import { type BaseChain, listBaseChains, listChainRules } from '../../../lib/netfilter/base-chains.ts';
import { readGeneration } from '../../../lib/netfilter/nftables.ts';
import type { Netlink } from '../../../lib/netlink/connection.ts';
import { listRules } from '../../../lib/rtnetlink/rule.ts';
import { readTextIfPresent } from '../../../lib/sys/file.ts';
import type { Syscalls } from '../../../lib/sys/syscalls.ts';
import { countXfrmPolicies } from '../../../lib/xfrm/policies.ts';
import { type FindIptables, isIdle, isOutOfReach } from '../../firewall/iptables-programs.ts';
import type { FilterChain, PolicingFacts } from './judge.ts';

const TCP_LOOSE = '/proc/sys/net/netfilter/nf_conntrack_tcp_loose';
const FAMILIES: readonly Family[] = [4, 6];

export interface PolicingSources {
  readonly sys: Syscalls;
  /** A connection to rtnetlink. */
  readonly netlink: Netlink;
  /** A connection to NETLINK_NETFILTER. */
  readonly netfilter: Netlink;
  readonly findIptables: FindIptables;
}

/** Reads everything. Rejects with NetlinkError, SysError or ExecError; then nothing is known. */
export async function readPolicing(sources: PolicingSources): Promise<PolicingFacts> {
  const { sys, netlink, netfilter } = sources;
  return {
    chains: readChains(netfilter),
    legacy: await readLegacy(sources),
    ipRules: FAMILIES.flatMap((family) => listRules(netlink, family)),
    xfrmPolicies: countXfrmPolicies(sys),
    tcpLoose: readTcpLoose(sys),
  };
}

/** Read again when the rule set changes meanwhile, so that no rule is missed between two of its chains. */
function readChains(netfilter: Netlink): FilterChain[] {
  for (;;) {
    const before = readGeneration(netfilter);
    const chains = listBaseChains(netfilter).map((chain: BaseChain) => ({
      ...chain,
      rules: listChainRules(netfilter, chain),
    }));
    if (readGeneration(netfilter) === before) return chains;
  }
}

async function readLegacy({ findIptables }: PolicingSources): Promise<string[]> {
  const texts: string[] = [];
  for (const family of FAMILIES) {
    if (isIdle({ variant: 'legacy', family })) continue;
    const { all } = await findIptables(family);
    const legacy = all.find(({ variant }) => variant === 'legacy');
    if (legacy === undefined || isOutOfReach(legacy)) {
      // Its rules are there and cannot be read.
      texts.push('*unreadable\n:FORWARD DROP');
      continue;
    }
    texts.push(await legacy.save());
  }
  return texts;
}

/** Undefined when this kernel tracks no connections, or hides the setting. */
export function readTcpLoose(sys: Syscalls): boolean | undefined {
  const text = readTextIfPresent(sys, TCP_LOOSE, 64)?.trim();
  return text === undefined ? undefined : text !== '0';
}
