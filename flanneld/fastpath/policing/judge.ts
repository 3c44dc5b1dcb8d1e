// Decides whether rules on the node filter or divert packets that the fast path would carry past them, as a pure function of what is
// installed. The rules of Weft, kube-proxy and the reference plugins are known: they work on connections that the kernel tracks, and
// tracked connections go the classic way. Any other rule may be a policy, so it turns the fast path off.

import type { BaseChain, ChainRule } from '../../../lib/netfilter/base-chains.ts';
import { printable } from '../../../lib/printable.ts';
import { type Rule, spellRule } from '../../../lib/rtnetlink/rule.ts';

/** A chain with its rules. */
export interface FilterChain extends BaseChain {
  readonly rules: readonly ChainRule[];
}

export interface PolicingFacts {
  readonly chains: readonly FilterChain[];
  /** The chains of legacy iptables. */
  readonly legacy: readonly FilterChain[];
  readonly ipRules: readonly Rule[];
  /** The number of IPsec policies. */
  readonly xfrmPolicies: number;
  /** net.netfilter.nf_conntrack_tcp_loose; undefined when it cannot be read. */
  readonly tcpLoose: boolean | undefined;
}

/** Names in one line what filters pods' packets; undefined when nothing does. */
export function whoPolices(facts: PolicingFacts): string | undefined {
  if (facts.tcpLoose === false) {
    return 'net.netfilter.nf_conntrack_tcp_loose is 0, so connections would break when the fast path is switched off';
  }
  if (facts.xfrmPolicies > 0) return 'IPsec policies (ip xfrm policy) may concern pods’ packets';
  for (const rule of facts.ipRules)
    if (!isUsualRule(rule)) return `an ip rule may divert pods’ packets: ${spellRule(rule)}`;
  for (const chain of facts.chains) {
    const problem = isKnownTable(chain) ? undefined : problemOfChain(chain);
    if (problem !== undefined)
      return printable(`nftables chain ${chain.family} ${chain.table} ${chain.name} ${problem}`);
  }
  for (const chain of facts.legacy) {
    const problem = problemOfChain(chain);
    const program = chain.family === 'ip' ? 'iptables-legacy' : 'ip6tables-legacy';
    if (problem !== undefined) return printable(`${program} chain ${chain.table} ${chain.name} ${problem}`);
  }
  return undefined;
}

/**
 * The same for the tunnel's own packets over IPv4: in the mode `full` they also skip the node's INPUT and OUTPUT rules. A rule that cannot
 * match them counts as well, because this is not analysed.
 */
export function whoPolicesTunnel({ chains, legacy }: PolicingFacts): string | undefined {
  const ofIpv4 = ({ family, hook }: FilterChain): boolean =>
    (family === 'ip' || family === 'inet') && LOCAL_HOOKS.has(hook);
  for (const [program, all] of [
    ['nftables', chains.filter((chain) => !isKnownTable(chain))],
    ['iptables-legacy', legacy],
  ] as const) {
    for (const chain of all.filter(ofIpv4)) {
      const problem = problemOfRules(chain);
      if (problem === undefined) continue;
      const { family, table, name } = chain;
      return printable(`${program} chain ${program === 'nftables' ? `${family} ` : ''}${table} ${name} ${problem}`);
    }
  }
  return undefined;
}

/** The rules that every kernel has from the start: local, main, default. */
function isUsualRule({ priority, table, from, to, iif, oif, mark }: Rule): boolean {
  const isPlain = [from, to, iif, oif, mark].every((selector) => selector === undefined);
  return isPlain && [0, 32_766, 32_767].includes(priority) && [253, 254, 255].includes(table);
}

const OUR_TABLES = /^weft/;
/** The tables of kube-proxy in its nftables mode, and of the plugins portmap and bridge, which only translate addresses. */
const KNOWN_TABLES: ReadonlySet<string> = new Set(['kube-proxy', 'cni_hostport', 'cni_plugins_masquerade']);
/**
 * The chains that jumps may lead to: flannel's, those of the plugins portmap, bridge and firewall for masquerading and host ports, and
 * kube-proxy's own. The prefix KUBE- alone is not enough: kube-router uses it for its policies.
 */
const KNOWN_CHAINS =
  /^(FLANNEL-(POSTRTG|FWD)|CNI-(HOSTPORT-(DNAT|SETMARK|MASQ)|DN-[0-9a-f]+|[0-9a-f]{24})|KUBE-(SERVICES|EXTERNAL-SERVICES|NODEPORTS|POSTROUTING|MARK-MASQ|MARK-DROP|FORWARD|FIREWALL|PROXY-FIREWALL|PROXY-CANARY|KUBELET-CANARY|IPTABLES-HINT|LOAD-BALANCER|NODE-PORT|SOURCE-RANGES-FIREWALL|IPVS-FILTER|IPVS-OUT-FILTER))$/;

/**
 * The hooks that packets between pods and the tunnel pass: prerouting, forward, postrouting. Packets to and from the node itself do not
 * take the fast path.
 */
const PASSED_HOOKS: ReadonlySet<number> = new Set([0, 2, 4]);
const INGRESS_OF_INET = 5;
/** Input and output. */
const LOCAL_HOOKS: ReadonlySet<number> = new Set([1, 3]);

function isKnownTable({ family, table }: FilterChain): boolean {
  return family === 'arp' || OUR_TABLES.test(table) || KNOWN_TABLES.has(table);
}

function problemOfChain(chain: FilterChain): string | undefined {
  return isPassed(chain) ? problemOfRules(chain) : undefined;
}

function problemOfRules(chain: FilterChain): string | undefined {
  if (chain.drops) return 'drops what no rule accepts';
  return chain.rules.every(isHarmless) ? undefined : 'has rules of another program';
}

function isPassed({ family, hook }: BaseChain): boolean {
  if (family === 'netdev') return true;
  return PASSED_HOOKS.has(hook) || (family === 'inet' && hook === INGRESS_OF_INET);
}

function isHarmless({ jump, expressions }: ChainRule): boolean {
  if (jump !== undefined) return KNOWN_CHAINS.test(jump);
  return expressions.every((expression) => expression === 'counter');
}
