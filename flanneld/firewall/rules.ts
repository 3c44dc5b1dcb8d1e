// The agent's packet filter as data for both flavours: a pure function from the configuration to rules in order. They are flannel's
// iptables rules (pkg/trafficmngr/iptables). Differs from flannel's nftables rules: there rule 4 (`saddr != subnet, daddr network`) also
// matches the packets that the last rule is for, so that node → remote pod is not masqueraded (D23). Here it matches only packets from
// outside the network to this node's own pods. flannel compares the whole mark; here only kube-proxy's bit counts.

import { type Family, type IpPrefix, networkOf } from '../../lib/ip.ts';

/** The VNI of a network whose configuration names none. */
export const DEFAULT_VNI = 1;

/** The mark bit that kube-proxy sets on packets that it will masquerade itself (its --iptables-masquerade-bit, 14). */
const KUBE_PROXY_MARK = 0x4000;

/** What the rules depend on, for one family. */
export interface FirewallConfig {
  readonly family: Family;
  readonly vni: number;
  readonly network: IpPrefix;
  /** This node's own subnet. */
  readonly subnet: IpPrefix;
  /** Masquerade packets from pods to addresses outside the network, and from outside to other nodes' pods. */
  readonly masquerade: boolean;
  /** Destinations outside the network to which pods send with their own address; of this family. */
  readonly nonMasquerade: readonly IpPrefix[];
  /** Choose masquerade ports at random (`fully-random`), where the kernel can. */
  readonly fullyRandom: boolean;
  /** Accept forwarded traffic from and to the network. */
  readonly forward: boolean;
}

export interface AddressMatch {
  readonly field: 'saddr' | 'daddr';
  readonly not: boolean;
  readonly prefix: IpPrefix;
}

/** A rule; all its conditions must match. */
export interface FirewallRule {
  /** All these bits are set in the packet's mark. */
  readonly mark?: number;
  readonly addresses: readonly AddressMatch[];
  readonly verdict: 'return' | 'accept' | 'masquerade' | 'masquerade fully-random';
}

/** Rules for the hook postrouting. A packet that no rule matches passes unchanged. */
export function masqueradeRules(config: FirewallConfig): FirewallRule[] {
  const { network, subnet, nonMasquerade, fullyRandom } = config;
  const masquerade = fullyRandom ? 'masquerade fully-random' : 'masquerade';
  return [
    // kube-proxy masquerades these itself; doing it twice would misdirect the reply (flannel #1679).
    { mark: KUBE_PROXY_MARK, addresses: [], verdict: 'return' },
    rule('return', from(subnet), to(network)),
    rule('return', from(network), to(subnet)),
    // Pods behind a service with externalTrafficPolicy Local see the client's address (flannel #745).
    rule('return', fromOutside(network), to(subnet)),
    ...nonMasquerade.map((prefix) => rule('return', from(network), to(prefix))),
    rule(masquerade, from(network), toOutside(MULTICAST[config.family])),
    // A node's own address is not in the network, so without this rule the reply would bypass the tunnel.
    rule(masquerade, fromOutside(network), to(network)),
  ];
}

/** Rules for the hook forward. */
export function forwardRules({ network }: Pick<FirewallConfig, 'network'>): FirewallRule[] {
  return [rule('accept', from(network)), rule('accept', to(network))];
}

const MULTICAST: Readonly<Record<Family, IpPrefix>> = {
  4: { ip: { family: 4, value: 0xe0000000n }, length: 4 },
  6: { ip: { family: 6, value: 0xff00n << 112n }, length: 8 },
};

function rule(verdict: FirewallRule['verdict'], ...addresses: readonly AddressMatch[]): FirewallRule {
  return { addresses, verdict };
}

const matching =
  (field: AddressMatch['field'], not: boolean) =>
  (prefix: IpPrefix): AddressMatch => ({ field, not, prefix: networkOf(prefix) });
const from = matching('saddr', false);
const fromOutside = matching('saddr', true);
const to = matching('daddr', false);
const toOutside = matching('daddr', true);
