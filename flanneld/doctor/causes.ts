// Reports each cause once: a finding that is only a consequence of another one is removed, and the evidence of its cause mentions it.

import { CATALOG, type FindingId } from './catalog.ts';
import type { Draft } from './draft.ts';

/** What probes of peers can find. */
const ABOUT_PEERS: readonly FindingId[] = [
  'tunnel-port-blocked',
  'tunnel-one-way',
  'wireguard-no-handshake',
  'peer-port-closed',
  'peer-unreachable',
  'peer-agent-down',
  'peer-tunnel-broken',
  'peer-slow',
  'path-mtu-too-small',
  'vtep-mac-mismatch',
  'checksum-corruption',
];
const OF_OUR_OBJECTS: readonly FindingId[] = [
  'device-missing',
  'route-missing',
  'peer-entry-missing',
  'route-shadowed',
];

/** The consequences of each cause on the same node. A cause with a peer explains only findings about that peer. */
const FOLLOWS: Readonly<Partial<Record<FindingId, readonly FindingId[]>>> = {
  'underlay-down': [
    ...ABOUT_PEERS,
    ...OF_OUR_OBJECTS,
    'agent-not-ready',
    'store-unreachable',
    'public-ip-not-local',
    'rp-filter-strict',
    'policy-rule-diverts',
  ],
  'vxlan-port-taken': [...ABOUT_PEERS, ...OF_OUR_OBJECTS, 'agent-not-ready'],
  'device-missing': [...ABOUT_PEERS, 'route-missing', 'peer-entry-missing', 'route-shadowed', 'agent-not-ready'],
  'ip-forward-off': ['firewall-refuses-pods', 'agent-not-ready'],
  'firewall-refuses-pods': ['agent-not-ready'],
  'firewall-drops-tunnel': [...ABOUT_PEERS],
  'rp-filter-strict': [...ABOUT_PEERS],
  'policy-rule-diverts': [...ABOUT_PEERS, 'route-shadowed', 'agent-not-ready'],
  'route-shadowed': [...ABOUT_PEERS, 'agent-not-ready'],
  'network-overlap': [...ABOUT_PEERS, 'route-shadowed', 'route-missing', 'agent-not-ready'],
  'route-missing': [...ABOUT_PEERS],
  'peer-entry-missing': [...ABOUT_PEERS],
  'bridge-address-wrong': ['agent-not-ready'],
  'wireguard-key-mismatch': [...ABOUT_PEERS],
  'subnet-conflict': [...ABOUT_PEERS, 'lease-unusable'],
  'vtep-mac-conflict': [...ABOUT_PEERS, 'lease-unusable'],
  'public-ip-conflict': [...ABOUT_PEERS, 'lease-unusable'],
  'peer-vni-differs': [...ABOUT_PEERS, 'lease-unusable'],
  'network-config-differs': [...ABOUT_PEERS, 'lease-unusable'],
  'lease-unusable': [...ABOUT_PEERS],
  'peer-unreachable': ['peer-agent-down'],
};

/** Up to this many consequences are named; the others are counted. */
const NAMED = 5;

/** Pure. The findings keep their order. */
export function causesOnly(drafts: readonly Draft[]): Draft[] {
  const swallowed = new Map<Draft, Draft[]>();
  const kept = drafts.filter((draft) => {
    const cause = drafts.find((other) => explains(other, draft));
    if (cause !== undefined) swallowed.set(cause, [...(swallowed.get(cause) ?? []), draft]);
    return cause === undefined;
  });
  return kept.map((draft) => withConsequences(draft, swallowed.get(draft) ?? []));
}

/** A warning does not explain an error. */
function explains(cause: Draft, { id, peer, severity = CATALOG[id].severity }: Draft): boolean {
  if (FOLLOWS[cause.id]?.includes(id) !== true || (cause.severity === 'warning' && severity === 'error')) return false;
  return cause.id !== id && (cause.peer === undefined || cause.peer === peer);
}

function withConsequences(draft: Draft, consequences: readonly Draft[]): Draft {
  if (consequences.length === 0) return draft;
  const names = [...new Set(consequences.map(({ id, peer }) => (peer === undefined ? id : `${peer} (${id})`)))];
  const more = names.length > NAMED ? ` and ${names.length - NAMED} more` : '';
  return { ...draft, evidence: `${draft.evidence}; consequences: ${names.slice(0, NAMED).join(', ')}${more}` };
}
