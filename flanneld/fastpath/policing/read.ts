// Reads what may filter pods' packets on a node: the packet filter by netlink, legacy iptables from the kernel, ip rules and IPsec
// policies.

import type { Family } from '../../../lib/ip.ts';
import { type BaseChain, listBaseChains, listChainRules } from '../../../lib/netfilter/base-chains.ts';
import { legacyChains } from '../../../lib/netfilter/legacy-table.ts';
import { readGeneration } from '../../../lib/netfilter/nftables.ts';
import type { Netlink } from '../../../lib/netlink/connection.ts';
import { listRules } from '../../../lib/rtnetlink/rule.ts';
import { readTextIfPresent } from '../../../lib/sys/file.ts';
import type { Syscalls } from '../../../lib/sys/syscalls.ts';
import { countXfrmPolicies } from '../../../lib/xfrm/policies.ts';
import type { FilterChain, PolicingFacts } from './judge.ts';

const TCP_LOOSE = '/proc/sys/net/netfilter/nf_conntrack_tcp_loose';
const FAMILIES: readonly Family[] = [4, 6];

export interface PolicingSources {
  readonly sys: Syscalls;
  /** A connection to rtnetlink. */
  readonly netlink: Netlink;
  /** A connection to NETLINK_NETFILTER. */
  readonly netfilter: Netlink;
}

/** Reads everything. Throws NetlinkError, SysError or RangeError; the caller then turns the fast path off. */
export function readPolicing({ sys, netlink, netfilter }: PolicingSources): PolicingFacts {
  return {
    chains: readChains(netfilter),
    legacy: readLegacy(sys),
    ipRules: FAMILIES.flatMap((family) => listRules(netlink, family)),
    xfrmPolicies: countXfrmPolicies(sys),
    tcpLoose: readTcpLoose(sys),
  };
}

/** Reads the chains again when the rule set has changed meanwhile, so that no rule is missed between two of them. */
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

function readLegacy(sys: Syscalls): FilterChain[] {
  return FAMILIES.flatMap((family) =>
    legacyTables(sys, family).flatMap((table) =>
      legacyChains(sys, family, table).map(({ rules, ...chain }) => ({
        ...chain,
        table,
        family: family === 4 ? ('ip' as const) : ('ip6' as const),
        rules: rules.map(({ jump, acts }) => ({ jump, expressions: acts ? ['target'] : [] })),
      })),
    ),
  );
}

/** The tables exist only after somebody has used them, and the file only if the kernel supports legacy iptables. */
function legacyTables(sys: Syscalls, family: Family): string[] {
  const path = `/proc/self/net/ip${family === 4 ? '' : '6'}_tables_names`;
  return (readTextIfPresent(sys, path, 4096) ?? '').split('\n').filter((name) => name !== '');
}

/** Undefined when this kernel tracks no connections, or hides the setting. */
export function readTcpLoose(sys: Syscalls): boolean | undefined {
  const text = readTextIfPresent(sys, TCP_LOOSE, 64)?.trim();
  return text === undefined ? undefined : text !== '0';
}
