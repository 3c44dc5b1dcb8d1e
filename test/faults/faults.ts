// The faults: what is done to a node, how many packets it may cost, and which traffic shows it.

import type { FlowOptions } from './probe/spec.ts';
import type { Path, Site } from './site.ts';

/** The most packets that may be lost. The flow sends a thousand a second, so these are also milliseconds. */
const ENTRY_LIMIT = 20;
const DEVICE_LIMIT = 100;
const EVERYTHING_LIMIT = 1000;
/**
 * In about one of twelve rounds, with or without an agent, the first ARP request after the carrier returns is lost. The kernel
 * repeats it only after a second (arp(7), retrans_time_ms).
 */
const ARP_LIMIT = 1000;

export interface Fault {
  readonly name: string;
  /** The fault as an operator would type it, for the table. */
  readonly what: string;
  /** The most packets that a round may lose. */
  readonly limit: number;
  readonly path: Path;
  readonly flow?: FlowOptions;
  /**
   * Whether every packet must be lost while the agent is stopped. It is false where the kernel itself recovers; rounds with
   * the agent stopped then show how many packets are lost without it.
   */
  readonly control: boolean;
  inflict(site: Site): Promise<void>;
}

const onPods = { path: 'pods', control: true } as const;
/** 1450 = 1422 + 8 UDP + 20 IPv4: the largest packet of a pod. */
const FULL_SIZE = { payloadBytes: 1422 };
const FOREIGN_MAC = '02:de:ad:be:ef:01';

export const faults: readonly Fault[] = [
  {
    ...onPods,
    name: 'route',
    what: 'ip route del SUBNET',
    limit: ENTRY_LIMIT,
    inflict: (site) => site.ip(`route del ${site.peer.subnet}`),
  },
  {
    ...onPods,
    name: 'neighbour',
    what: 'ip neigh del BASE dev flannel.1',
    limit: ENTRY_LIMIT,
    inflict: (site) => site.ip(`neigh del ${site.peer.base} dev ${site.device}`),
  },
  {
    ...onPods,
    name: 'fdb',
    what: 'bridge fdb del MAC dev flannel.1',
    limit: ENTRY_LIMIT,
    inflict: (site) => site.bridge('fdb', 'del', site.peer.mac, 'dev', site.device, 'dst', site.peer.address, 'self'),
  },
  {
    ...onPods,
    name: 'nexthop',
    what: 'ip nexthop del id ID',
    limit: ENTRY_LIMIT,
    // The kernel removes the route together with its nexthop.
    inflict: (site) => site.ip(`nexthop del id ${site.peer.nexthopId}`),
  },
  {
    name: 'address',
    what: 'ip address del BASE/32 dev flannel.1',
    limit: ENTRY_LIMIT,
    path: 'node',
    control: true,
    inflict: (site) => site.ip(`address del ${site.ownBase}/32 dev ${site.device}`),
  },
  {
    name: 'masquerade table',
    what: 'nft delete table ip weft',
    limit: DEVICE_LIMIT,
    path: 'outside',
    control: true,
    inflict: (site) => site.nft('delete table ip weft\n'),
  },
  {
    name: 'one rule',
    what: 'nft delete rule ip weft postrouting handle N',
    limit: DEVICE_LIMIT,
    path: 'outside',
    control: true,
    inflict: deleteMasqueradeRule,
  },
  {
    ...onPods,
    name: 'device removed',
    what: 'ip link del flannel.1',
    limit: DEVICE_LIMIT,
    inflict: (site) => site.ip(`link del ${site.device}`),
  },
  {
    ...onPods,
    name: 'device down',
    what: 'ip link set flannel.1 down',
    limit: DEVICE_LIMIT,
    inflict: (site) => site.ip(`link set ${site.device} down`),
  },
  {
    ...onPods,
    name: 'MAC rewritten',
    what: 'ip link set flannel.1 address MAC',
    limit: DEVICE_LIMIT,
    inflict: (site) => site.ip(`link set ${site.device} address ${FOREIGN_MAC}`),
  },
  {
    ...onPods,
    name: 'MTU changed',
    what: 'ip link set flannel.1 mtu 1300',
    limit: DEVICE_LIMIT,
    flow: FULL_SIZE,
    inflict: (site) => site.ip(`link set ${site.device} mtu 1300`),
  },
  {
    name: 'underlay down and up',
    what: 'ip link set eth0 down, then up',
    limit: ARP_LIMIT,
    path: 'pods',
    control: false,
    inflict: (site) => site.ip('link set eth0 down', 'link set eth0 up'),
  },
  {
    ...onPods,
    name: 'everything',
    what: 'all objects at once',
    limit: EVERYTHING_LIMIT,
    inflict: removeEverything,
  },
];

async function deleteMasqueradeRule(site: Site): Promise<void> {
  const listing = await site.node.run(['nft', '-a', 'list', 'chain', 'ip', 'weft', 'postrouting']);
  const line = listing.split('\n').find((rule) => rule.includes('masquerade') && rule.includes('ip saddr 10.'));
  const handle = /# handle (\d+)$/.exec(line ?? '')?.[1];
  if (handle === undefined) throw new Error(`no masquerade rule to delete in\n${listing}`);
  await site.nft(`delete rule ip weft postrouting handle ${handle}\n`);
}

async function removeEverything(site: Site): Promise<void> {
  await Promise.all([
    site.ip(
      `route del ${site.peer.subnet}`,
      `nexthop del id ${site.peer.nexthopId}`,
      `neigh del ${site.peer.base} dev ${site.device}`,
      `link del ${site.device}`,
    ),
    site.nft('delete table ip weft\n'),
  ]);
}
