import { expect, test } from 'vitest';
import { parsePrefix } from '../../../lib/ip.ts';
import type { ChainRule } from '../../../lib/netfilter/base-chains.ts';
import { type FilterChain, type PolicingFacts, whoPolices, whoPolicesTunnel } from './judge.ts';

const quiet: PolicingFacts = { chains: [], legacy: [], ipRules: [], xfrmPolicies: 0, tcpLoose: true };
const jump = (to: string): ChainRule => ({ jump: to, expressions: ['match', 'counter', 'immediate'] });
const accept: ChainRule = { jump: undefined, expressions: ['payload', 'cmp', 'immediate'] };

function chain(parts: Partial<FilterChain>): PolicingFacts {
  const usual = { family: 'ip', table: 'filter', name: 'FORWARD', hook: 2, drops: false, rules: [] } as const;
  return { ...quiet, chains: [{ ...usual, ...parts }] };
}

function legacy(parts: Partial<FilterChain>): PolicingFacts {
  return { ...quiet, legacy: chain(parts).chains };
}

const local = { family: 4, action: 1 } as const;
const usualRules = [
  { ...local, priority: 0, table: 255 },
  { ...local, priority: 32_766, table: 254 },
  { ...local, priority: 32_767, table: 253 },
];

test.for<{ name: string; facts: PolicingFacts }>([
  { name: 'nothing', facts: quiet },
  { name: 'a kernel without conntrack’s settings', facts: { ...quiet, tcpLoose: undefined } },
  { name: 'the kernel’s own ip rules', facts: { ...quiet, ipRules: usualRules } },
  { name: 'empty base chains of iptables', facts: chain({}) },
  { name: 'a rule that only counts', facts: chain({ rules: [{ jump: undefined, expressions: ['counter'] }] }) },
  { name: 'our tables', facts: chain({ table: 'weft', rules: [accept] }) },
  { name: 'the tables of the executable', facts: chain({ table: 'weft_portmap', hook: 0, rules: [accept] }) },
  { name: 'kube-proxy’s table', facts: chain({ table: 'kube-proxy', drops: true, rules: [accept] }) },
  {
    name: 'kube-proxy’s, flannel’s and the plugins’ chains of iptables',
    facts: chain({
      rules: [
        ...['KUBE-FORWARD', 'KUBE-PROXY-FIREWALL', 'KUBE-SERVICES', 'FLANNEL-FWD'].map(jump),
        ...['CNI-HOSTPORT-MASQ', 'CNI-0123456789abcdef01234567'].map(jump),
      ],
    }),
  },
  { name: 'rules for the node’s own packets', facts: chain({ name: 'INPUT', hook: 1, drops: true, rules: [accept] }) },
  { name: 'rules for ARP', facts: chain({ family: 'arp', hook: 0, rules: [accept] }) },
  {
    name: 'legacy iptables of kube-proxy and flannel',
    facts: legacy({ rules: [jump('KUBE-FORWARD'), jump('FLANNEL-FWD'), { jump: undefined, expressions: [] }] }),
  },
  {
    name: 'legacy iptables for the node’s own packets',
    facts: legacy({ name: 'INPUT', hook: 1, drops: true, rules: [accept] }),
  },
])('is on beside $name', ({ facts }) => {
  expect(whoPolices(facts)).toBeUndefined();
});

test.for<{ name: string; facts: PolicingFacts; want: string }>([
  {
    name: 'strict conntrack',
    facts: { ...quiet, tcpLoose: false },
    want: 'net.netfilter.nf_conntrack_tcp_loose is 0, so connections would break when the fast path is switched off',
  },
  {
    name: 'IPsec',
    facts: { ...quiet, xfrmPolicies: 2 },
    want: 'IPsec policies (ip xfrm policy) may concern pods’ packets',
  },
  {
    name: 'a foreign ip rule',
    facts: {
      ...quiet,
      ipRules: [...usualRules, { ...local, priority: 100, table: 7, from: parsePrefix('10.244.0.0/16') }],
    },
    want: 'an ip rule may divert pods’ packets: from 10.244.0.0/16 lookup 7',
  },
  {
    name: 'a rule with the place of a usual one and a selector',
    facts: { ...quiet, ipRules: [{ ...local, priority: 32_766, table: 254, mark: 1 }] },
    want: 'an ip rule may divert pods’ packets: from all fwmark 0x1 lookup 254',
  },
  {
    name: 'kube-network-policies',
    facts: chain({ family: 'inet', table: 'kube-network-policies', name: 'postrouting', hook: 4, rules: [accept] }),
    want: 'nftables chain inet kube-network-policies postrouting has rules of another program',
  },
  {
    name: 'kube-router, whose chains begin like kube-proxy’s',
    facts: chain({ rules: [jump('KUBE-FORWARD'), jump('KUBE-ROUTER-FORWARD')] }),
    want: 'nftables chain ip filter FORWARD has rules of another program',
  },
  {
    name: 'Docker',
    facts: chain({ drops: true, rules: [jump('DOCKER-USER')] }),
    want: 'nftables chain ip filter FORWARD drops what no rule accepts',
  },
  {
    name: 'rules of the ingress hook of a device',
    facts: chain({ family: 'netdev', table: 'x', name: 'in', hook: 0, rules: [accept] }),
    want: 'nftables chain netdev x in has rules of another program',
  },
  {
    name: 'notrack',
    facts: chain({ table: 'raw', name: 'PREROUTING', hook: 0, rules: [{ jump: undefined, expressions: ['notrack'] }] }),
    want: 'nftables chain ip raw PREROUTING has rules of another program',
  },
  {
    name: 'zones of conntrack',
    facts: chain({ table: 'z', name: 'p', hook: 0, rules: [{ jump: undefined, expressions: ['immediate', 'ct'] }] }),
    want: 'nftables chain ip z p has rules of another program',
  },
  {
    name: 'filtering of frames',
    facts: chain({ family: 'bridge', table: 'filter', name: 'f', rules: [accept] }),
    want: 'nftables chain bridge filter f has rules of another program',
  },
  {
    name: 'a name with control characters',
    facts: chain({ table: 'a\u001b[31m', name: 'f', drops: true }),
    want: 'nftables chain ip a\\x1b[31m f drops what no rule accepts',
  },
  {
    name: 'a policy of legacy iptables',
    facts: legacy({ drops: true }),
    want: 'iptables-legacy chain filter FORWARD drops what no rule accepts',
  },
  {
    name: 'a rule of legacy iptables',
    facts: legacy({ family: 'ip6', table: 'mangle', name: 'PREROUTING', hook: 0, rules: [accept] }),
    want: 'ip6tables-legacy chain mangle PREROUTING has rules of another program',
  },
  {
    name: 'a table of legacy iptables that is called like one of ours',
    facts: legacy({ table: 'weft', rules: [accept] }),
    want: 'iptables-legacy chain weft FORWARD has rules of another program',
  },
])('is off beside $name', ({ facts, want }) => {
  expect(whoPolices(facts)).toBe(want);
});

test.for<{ name: string; facts: PolicingFacts }>([
  { name: 'nothing', facts: quiet },
  { name: 'rules for forwarded packets', facts: chain({ rules: [accept], drops: true }) },
  { name: 'rules for IPv6', facts: chain({ family: 'ip6', hook: 1, drops: true }) },
  { name: 'our guard', facts: chain({ table: 'weft', hook: 1, rules: [accept] }) },
  {
    name: 'chains of kubelet and kube-proxy',
    facts: chain({ hook: 1, rules: ['KUBE-FIREWALL', 'KUBE-PROXY-FIREWALL', 'KUBE-NODEPORTS'].map(jump) }),
  },
])('programs may encapsulate beside $name', ({ facts }) => {
  expect(whoPolicesTunnel(facts)).toBeUndefined();
});

test.for<{ name: string; facts: PolicingFacts; want: string }>([
  {
    name: 'an input rule',
    facts: chain({ family: 'inet', table: 'filter', name: 'input', hook: 1, rules: [accept] }),
    want: 'nftables chain inet filter input has rules of another program',
  },
  {
    name: 'a closed input',
    facts: chain({ name: 'INPUT', hook: 1, drops: true }),
    want: 'nftables chain ip filter INPUT drops what no rule accepts',
  },
  {
    name: 'an output rule of mangle',
    facts: chain({ table: 'mangle', name: 'OUTPUT', hook: 3, rules: [accept] }),
    want: 'nftables chain ip mangle OUTPUT has rules of another program',
  },
  {
    name: 'an input rule of legacy iptables',
    facts: { ...quiet, legacy: chain({ name: 'INPUT', hook: 1, rules: [accept] }).chains },
    want: 'iptables-legacy chain filter INPUT has rules of another program',
  },
])('programs do not encapsulate beside $name, while packets of pods are redirected', ({ facts, want }) => {
  expect(whoPolicesTunnel(facts)).toBe(want);
  expect(whoPolices(facts)).toBeUndefined();
});
