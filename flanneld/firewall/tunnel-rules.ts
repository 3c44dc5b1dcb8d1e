// Two nftables tables, `inet weft` and `arp weft`, that keep the tunnel from being used against the node. The shield is always on: no
// packet from the tunnel or from a pod can change the node's routes, addresses or neighbours. The guard (`--guard`) counts or refuses
// packets to the tunnel's port from senders that are not peers. This is done by rules and not by sysctls, because the agent has only
// NET_ADMIN and cannot write sysctls.

import { addToIp, formatIp, formatPrefix, type Ip, type IpPrefix, networkOf } from '../../lib/ip.ts';
import {
  allOf,
  type BaseChain,
  type Chain,
  matching,
  type NftSet,
  type Rule,
  type Table,
  tableName,
} from './nft-table.ts';

export interface TunnelConfig {
  readonly vni: number;
  /** The tunnel's devices; none for a backend without a tunnel. */
  readonly devices: readonly string[];
  /** The bridge of the pods. */
  readonly bridge: string;
  /** The networks of every enabled family. */
  readonly networks: readonly IpPrefix[];
  /** This node's own subnets of every enabled family. */
  readonly subnets: readonly IpPrefix[];
  /** Undefined without a guard. */
  readonly guard: GuardConfig | undefined;
}

export interface GuardConfig {
  readonly mode: 'count' | 'enforce';
  /** UDP port of the tunnel. */
  readonly port: number;
  /** Whether packets have a VXLAN header. Those with another VNI than the table's belong to another network. */
  readonly isVxlan: boolean;
  /** Whether nft supports sets of an address and the inner MAC; a peer behind NAT is recognized by its MAC. */
  readonly seesMacs: boolean;
}

/** Names of the counters: packets refused by the shield, and packets to the port from strangers and from pods. */
export const COUNTERS = { refused: 'refused', strangers: 'strangers', pods: 'pods' } as const;
/** How many strangers of a family are recorded at most, so that a flood of forged addresses cannot fill the memory. */
export const STRANGERS_KEPT = 64;
/** A stranger is forgotten this long after its first packet, so the element's remaining time in the kernel shows when that packet came. */
export const STRANGER_KEPT_SEC = 86_400;

const INPUT: BaseChain = { type: 'filter', hook: 'input', priority: -150, priorityName: 'mangle' };
const FORWARD: BaseChain = { type: 'filter', hook: 'forward', priority: -150, priorityName: 'mangle' };
const ARP_INPUT: BaseChain = { type: 'filter', hook: 'input', priority: 0, priorityName: 'filter' };

/** Both tables. */
export function tunnelTables(config: TunnelConfig): Table[] {
  const name = tableName(config.vni);
  const { guard } = config;
  const guardChains = guard === undefined ? [] : [guardChain(config, guard), ...forwardChains(config, guard)];
  const sets = guard === undefined ? [] : guardSets(guard);
  const counters = guard === undefined ? [COUNTERS.refused] : Object.values(COUNTERS);
  const chains = [tunnelChain(config), bridgeChain(config), ...guardChains, ...inputChains(config)];
  return [
    { family: 'inet', name, chains, sets, counters },
    {
      family: 'arp',
      name,
      chains: [{ name: 'input', base: ARP_INPUT, rules: arpRules(config) }],
      counters: [COUNTERS.refused],
    },
  ];
}

/**
 * Without a guard, only ICMP messages are refused. Every packet to the node passes the chain `input`, also each packet of a peer before it
 * is decapsulated, and one question about the protocol costs half as much as two about names of devices.
 */
function inputChains(config: TunnelConfig): Chain[] {
  const { guard } = config;
  if (guard !== undefined) {
    return [{ name: 'input', base: INPUT, rules: [...jumps(config), allOf(toPort(guard), jump('guard'))] }];
  }
  return [
    { name: 'icmp_messages', rules: jumps(config) },
    { name: 'input', base: INPUT, rules: [allOf(IS_ICMP, jump('icmp_messages'))] },
  ];
}

const IS_ICMP: Rule = matching('meta l4proto { icmp, ipv6-icmp }', { meta: { key: 'l4proto' } }, '==', {
  set: ['icmp', 'ipv6-icmp'],
});

/** Jumps by device, so that packets of other devices cost hardly anything. */
function jumps({ devices, bridge }: TunnelConfig): Rule[] {
  return [
    ...(devices.length === 0 ? [] : [allOf(from(devices), jump('from_tunnel'))]),
    allOf(from([bridge]), jump('from_pods')),
  ];
}

/**
 * Neighbours on the tunnel's devices are permanent and the agent makes the routes, so no peer has a reason to send such messages.
 * Messages of multicast listeners, routers and neighbours, and redirects, are all refused.
 */
function tunnelChain(config: TunnelConfig): Chain {
  const types = [
    ...['mld-listener-query', 'mld-listener-report', 'mld-listener-done', 'mld2-listener-report'],
    ...['nd-router-solicit', 'nd-router-advert', 'nd-neighbor-solicit', 'nd-neighbor-advert', 'nd-redirect'],
  ];
  return { name: 'from_tunnel', rules: [...podsRules(config), allOf(icmp6(types), ...REFUSED), ...icmpRules()] };
}

/**
 * Pods and the bridge need neighbour discovery for each other's addresses. A pod that claims the gateway's address, or one outside
 * this node's subnet, could make the node send it packets that are for somebody else.
 */
function bridgeChain(config: TunnelConfig): Chain {
  const { subnets } = config;
  const neighbour = icmp6(['nd-router-solicit', 'nd-neighbor-solicit', 'nd-neighbor-advert']);
  const ours = subnets.filter(({ ip }) => ip.family === 6);
  // A pod that checks whether an address is free sends from the unspecified one. Link-local addresses matter only on the bridge.
  const allowed = [{ addr: '::' }, ...ours, { addr: 'fe80::', len: 10 }].map((one) =>
    'ip' in one ? { addr: formatIp(networkOf(one).ip), len: one.length } : one,
  );
  return {
    name: 'from_pods',
    rules: [
      ...podsRules(config),
      allOf(icmp6(['nd-router-advert', 'nd-redirect']), ...REFUSED),
      ...icmpRules(),
      allOf(neighbour, notIn('ip6', 'saddr', allowed), ...REFUSED),
      ...ours.map((subnet) => allOf(neighbour, oneOf('ip6', 'saddr', nodesOwn(subnet).map(formatIp)), ...REFUSED)),
    ],
  };
}

/** Packets of pods to this node's port, even with a forged source. Pods of other nodes come through the tunnel. */
function podsRules({ guard }: TunnelConfig): Rule[] {
  if (guard === undefined) return [];
  return [allOf(toPort(guard), count(COUNTERS.pods), guard.mode === 'enforce' ? DROP : ACCEPT)];
}

function icmpRules(): Rule[] {
  return [allOf(oneOf('icmp', 'type', ['redirect', 'router-advertisement']), ...REFUSED)];
}

function arpRules({ devices, bridge, subnets }: TunnelConfig): Rule[] {
  const ours = subnets.filter(({ ip }) => ip.family === 4);
  const allowed = [{ addr: '0.0.0.0' }, ...ours.map((one) => ({ addr: formatIp(networkOf(one).ip), len: one.length }))];
  return [
    ...(devices.length === 0 ? [] : [allOf(from(devices), ...REFUSED)]),
    allOf(from([bridge]), notIn('arp', 'saddr ip', allowed), ...REFUSED),
    ...ours.map((subnet) =>
      allOf(from([bridge]), oneOf('arp', 'saddr ip', nodesOwn(subnet).map(formatIp)), ...REFUSED),
    ),
  ];
}

/** The addresses of the VTEP and of the gateway. */
function nodesOwn(subnet: IpPrefix): Ip[] {
  const { ip } = networkOf(subnet);
  return [ip, addToIp(ip, 1)];
}

/** Peers' packets return first, so that each of them costs only one look-up in a set. */
function guardChain({ vni }: TunnelConfig, guard: GuardConfig): Chain {
  const network = allOf(payload(64, 8, '==', 8), payload(96, 24, '!=', vni), RETURN);
  return {
    name: 'guard',
    rules: [
      allOf(inSet('ip', 'saddr', PEERS[4]), RETURN),
      allOf(inSet('ip6', 'saddr', PEERS[6]), RETURN),
      // Packets of the node's own programs, such as the agent's probes. On the node's network they could forge a peer's address anyway.
      allOf(from(['lo']), RETURN),
      // The VXLAN flags say that there is a VNI (RFC 7348 §5), and it is that of another network.
      ...(guard.isVxlan ? [network] : []),
      ...FAMILIES.map(([family, protocol]) => addTo(STRANGERS[family], [{ payload: { protocol, field: 'saddr' } }])),
      ...(guard.seesMacs ? FAMILIES : []).map(([family, protocol]) =>
        addTo(CLAIMS[family], [{ payload: { protocol, field: 'saddr' } }, INNER_SOURCE]),
      ),
      allOf(count(COUNTERS.strangers), ...(guard.mode === 'enforce' ? [DROP] : [])),
    ],
  };
}

/**
 * These chains come before masquerade, which would give the packet this node's address, which is also a peer's. Every packet of a pod
 * passes here four times in a round trip, so a packet for another port costs only one comparison.
 */
function forwardChains({ bridge, networks }: TunnelConfig, guard: GuardConfig): Chain[] {
  const verdict = guard.mode === 'enforce' ? [DROP] : [];
  const refuse = (source: Rule, [family, protocol]: (typeof FAMILIES)[number]): Rule =>
    allOf(source, inSet(protocol, 'daddr', PEERS[family]), count(COUNTERS.pods), ...verdict);
  const rules = [
    ...FAMILIES.map((family) => refuse(from([bridge]), family)),
    // Pods that are not on the bridge; packets from the bridge were counted already.
    ...networks.map((network) => {
      const family = FAMILIES[network.ip.family === 4 ? 0 : 1];
      return refuse(allOf(notFrom(bridge), fromPrefix(network)), family);
    }),
  ];
  return [
    { name: 'to_peers', rules },
    { name: 'forward', base: FORWARD, rules: [allOf(toPort(guard), jump('to_peers'))] },
  ];
}

/** Names of the sets of addresses by family. */
export const PEERS = { 4: 'peers4', 6: 'peers6' } as const;
export const STRANGERS = { 4: 'strangers4', 6: 'strangers6' } as const;
/** Sets of addresses with the inner source MAC; in packets of a peer that is the MAC of its VTEP. */
export const CLAIMS = { 4: 'claims4', 6: 'claims6' } as const;

const FAMILIES = [
  [4, 'ip'],
  [6, 'ip6'],
] as const;

function guardSets({ seesMacs }: GuardConfig): NftSet[] {
  const bounded = `size ${STRANGERS_KEPT}; flags dynamic,timeout; timeout ${STRANGER_KEPT_SEC}s;`;
  const listed = { flags: ['timeout'], size: STRANGERS_KEPT, timeout: STRANGER_KEPT_SEC };
  return FAMILIES.flatMap(([family, protocol]) => {
    const type = family === 4 ? 'ipv4_addr' : 'ipv6_addr';
    const claims: NftSet = {
      name: CLAIMS[family],
      text: `typeof ${protocol} saddr . @th,176,48; ${bounded}`,
      listed,
    };
    return [
      { name: PEERS[family], text: `type ${type};`, listed: { type } },
      { name: STRANGERS[family], text: `type ${type}; ${bounded}`, listed: { type, ...listed } },
      ...(seesMacs ? [claims] : []),
    ];
  });
}

/** A script with what `seesMacs` needs, for nft to check. */
export function claimsProbe(): string {
  const text = `typeof ip saddr . @th,176,48; size ${STRANGERS_KEPT}; flags dynamic,timeout; timeout 60s;`;
  const rule = 'udp dport 1 add @c { ip saddr . @th,176,48 counter }';
  return [
    'add table inet weft-probe',
    `add set inet weft-probe c { ${text} }`,
    'add chain inet weft-probe c',
    `add rule inet weft-probe c ${rule}\n`,
  ].join('\n');
}

/** UDP 8, VXLAN 8, inner destination 6 bytes; then 6 of the inner source. */
const INNER_SOURCE = { payload: { base: 'th', offset: 176, len: 48 } } as const;

const DROP: Rule = { text: 'drop', expr: [{ drop: null }] };
const ACCEPT: Rule = { text: 'accept', expr: [{ accept: null }] };
const RETURN: Rule = { text: 'return', expr: [{ return: null }] };
const REFUSED: readonly Rule[] = [count(COUNTERS.refused), DROP];

function count(counter: string): Rule {
  return { text: `counter name ${counter}`, expr: [{ counter }] };
}

function jump(target: string): Rule {
  return { text: `jump ${target}`, expr: [{ jump: { target } }] };
}

function from(names: readonly string[]): Rule {
  const left = { meta: { key: 'iifname' } };
  const quoted = names.map((name) => `"${name}"`);
  if (names.length === 1) return matching(`iifname ${quoted[0]}`, left, '==', names[0] ?? '');
  return matching(`iifname { ${quoted.join(', ')} }`, left, '==', { set: names });
}

function notFrom(name: string): Rule {
  return matching(`iifname != "${name}"`, { meta: { key: 'iifname' } }, '!=', name);
}

function toPort({ port }: GuardConfig): Rule {
  return matching(`udp dport ${port}`, { payload: { protocol: 'udp', field: 'dport' } }, '==', port);
}

function icmp6(types: readonly string[]): Rule {
  return oneOf('icmpv6', 'type', types);
}

function oneOf(protocol: string, field: string, values: readonly string[]): Rule {
  const text = `${protocol} ${field} { ${values.join(', ')} }`;
  return matching(text, { payload: { protocol, field } }, '==', { set: values });
}

function notIn(protocol: string, field: string, prefixes: readonly { addr: string; len?: number }[]): Rule {
  const texts = prefixes.map(({ addr, len }) => (len === undefined ? addr : `${addr}/${len}`));
  const listed = prefixes.map(({ addr, len }) => (len === undefined ? addr : { prefix: { addr, len } }));
  const text = `${protocol} ${field} != { ${texts.join(', ')} }`;
  return matching(text, { payload: { protocol, field } }, '!=', { set: listed });
}

function inSet(protocol: string, field: string, set: string): Rule {
  return matching(`${protocol} ${field} @${set}`, { payload: { protocol, field } }, '==', `@${set}`);
}

function fromPrefix(prefix: IpPrefix): Rule {
  const network = networkOf(prefix);
  const protocol = network.ip.family === 4 ? 'ip' : 'ip6';
  const right = { prefix: { addr: formatIp(network.ip), len: network.length } };
  return matching(`${protocol} saddr ${formatPrefix(network)}`, { payload: { protocol, field: 'saddr' } }, '==', right);
}

/** Compares bits of the packet after the IP header. */
function payload(offset: number, len: number, op: '==' | '!=', value: number): Rule {
  const text = `@th,${offset},${len} ${op === '!=' ? '!= ' : ''}${value}`;
  return matching(text, { payload: { base: 'th', offset, len } }, op, value);
}

type Payload = { readonly payload: Readonly<Record<string, string | number>> };

/** Uses `add` and not `update`, so that the timeout counts from the first packet. If the set is full, the next rule follows. */
function addTo(set: string, parts: readonly Payload[]): Rule {
  const [first, ...rest] = parts;
  const elem = rest.length === 0 ? (first ?? '') : { concat: parts };
  const text = parts.map(({ payload: bits }) =>
    'base' in bits ? `@${bits['base']},${bits['offset']},${bits['len']}` : `${bits['protocol']} ${bits['field']}`,
  );
  return {
    text: `add @${set} { ${text.join(' . ')} counter }`,
    expr: [{ set: { op: 'add', elem, set: `@${set}`, stmt: [{ counter: null }] } }],
  };
}
