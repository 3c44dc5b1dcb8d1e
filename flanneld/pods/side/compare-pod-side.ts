// Finds what is wrong on the pods' side of this node: repairs that do no harm, and findings about which only an operator can decide,
// because pods would be affected. A pure function.

import {
  broadcastOf,
  contains,
  formatIp,
  formatPrefix,
  type IpPrefix,
  isLinkLocal,
  networkOf,
  sameIp,
} from '../../../lib/ip.ts';
import type { NetlinkRequest } from '../../../lib/netlink/request.ts';
import { bridgeMac } from '../../../lib/pods/names.ts';
import { type Address, addAddress, deleteAddress } from '../../../lib/rtnetlink/address.ts';
import { addBridge, setBridgePort } from '../../../lib/rtnetlink/bridge.ts';
import { type Link, setLink } from '../../../lib/rtnetlink/link.ts';
import { IFA_F_NODAD, IFF_UP } from '../../../lib/rtnetlink/rtnetlink-constants.ts';
import type { DriftObject } from '../../health/drift-ledger.ts';
import type { Attachment, ObservedPodSide } from './observe-pod-side.ts';
import type { WantedPodSide } from './want.ts';

/** The possible problems, by the ids of the doctor's findings. */
export type PodSideProblem =
  | 'bridge-address-wrong'
  | 'bridge-down'
  | 'bridge-mtu-wrong'
  | 'hairpin-off'
  | 'pod-mtu-stale'
  | 'pod-port-detached';

/** One repair. */
export interface Repair {
  readonly id: PodSideProblem;
  /** The same for the same thing at every comparison. */
  readonly key: string;
  readonly object: DriftObject;
  readonly place: string;
  readonly what: string;
  /** The state that was found: `was down`, `had MTU 1300`. */
  readonly was: string;
  readonly requests: readonly NetlinkRequest[];
}

/** The parts of a finding, in the words of the doctor. */
export interface Told {
  readonly cause: string;
  readonly evidence: string;
  /** A command for this node. */
  readonly fix: string;
}

/** A problem for the operator. */
export interface Finding {
  /** Absent where the doctor has its own check. */
  readonly id?: PodSideProblem;
  /** The problem in parts, where there are some. */
  readonly told?: Told;
  /** The same for the same problem at every comparison. */
  readonly key: string;
  /** One line with the cause and the command that helps. */
  readonly problem: string;
  /** Whether it keeps the node from forwarding. */
  readonly required: boolean;
}

export interface Comparison {
  readonly repairs: readonly Repair[];
  readonly findings: readonly Finding[];
}

/** `attachmentOf` says how a device was attached; it is called only for a device that looks wrong. */
export function comparePodSide(
  wanted: WantedPodSide,
  observed: ObservedPodSide,
  attachmentOf: (name: string) => Attachment | undefined,
): Comparison {
  const { bridge, ports } = observed;
  if (bridge === undefined) return { repairs: missingBridge(wanted, observed, attachmentOf), findings: [] };
  const addresses = compareAddresses(wanted, observed, bridge);
  return {
    repairs: [
      ...bridgeRepairs(wanted, bridge, ports),
      ...addresses.repairs,
      ...portRepairs(observed, bridge, attachmentOf),
    ],
    findings: [...addresses.findings, ...oldMtuFindings(wanted, ports)],
  };
}

/** A missing bridge is made again only for pods that were on it, with the old MAC, which they know as the gateway's. */
function missingBridge(
  { bridge: name, gateways, mtuBytes }: WantedPodSide,
  { loose }: ObservedPodSide,
  attachmentOf: (name: string) => Attachment | undefined,
): Repair[] {
  if (!loose.some((link) => attachmentOf(link.name)?.bridge === name)) return [];
  const add = addBridge({ name, mac: bridgeMac(gateways[0]?.ip, name), up: true });
  const requests = mtuBytes === 0 ? [add] : [add, setLink({ name, mtu: mtuBytes })];
  return [
    { id: 'bridge-down', key: `${name} missing`, object: 'link', place: name, what: name, was: 'missing', requests },
  ];
}

function bridgeRepairs({ mtuBytes }: WantedPodSide, bridge: Link, ports: readonly Link[]): Repair[] {
  const { name, index } = bridge;
  const repair = (key: string, was: string, change: { up: true } | { mtu: number }): Repair => ({
    id: 'up' in change ? 'bridge-down' : 'bridge-mtu-wrong',
    ...{ key: `${name} ${key}`, object: 'link', place: name, what: name, was },
    requests: [setLink({ index, name, ...change })],
  });
  const repairs: Repair[] = [];
  if ((bridge.flags & IFF_UP) === 0) repairs.push(repair('up', 'was down', { up: true }));
  // Without ports the kernel chooses the MTU, and the next pod's ADD corrects it.
  if (mtuBytes === 0 || ports.length === 0) return repairs;
  // The bridge silently drops packets that are larger than a port's MTU, so its MTU must not exceed that of an older pod's port.
  const mtu = Math.min(mtuBytes, ...ports.map((port) => port.mtu));
  if (bridge.mtu !== mtu) repairs.push(repair(`mtu ${mtu}`, `had MTU ${bridge.mtu}`, { mtu }));
  return repairs;
}

function compareAddresses(wanted: WantedPodSide, { addresses, ports }: ObservedPodSide, bridge: Link): Comparison {
  const repairs: Repair[] = [];
  const findings: Finding[] = [];
  for (const gateway of wanted.gateways) {
    const hasOwn = addresses.some((address) => isAddress(address, gateway));
    const others = addresses.filter((address) => isOfAnotherSubnet(address, gateway, wanted.networks, hasOwn));
    if (others.length > 0 && ports.length > 0) findings.push(otherSubnet(bridge, gateway, others));
    else repairs.push(...addressRepairs(bridge, gateway, others, hasOwn, ports.length > 0));
  }
  return { repairs, findings };
}

/** A bridge without ports needs no address, because the ADD of the first pod adds it. */
function addressRepairs(
  { name, index }: Link,
  gateway: IpPrefix,
  others: readonly Address[],
  hasOwn: boolean,
  hasPorts: boolean,
): Repair[] {
  const spelled = (address: IpPrefix): string => `${formatIp(address.ip)}/${address.length}`;
  const repair = (address: IpPrefix, was: string, request: NetlinkRequest): Repair => ({
    id: 'bridge-address-wrong',
    ...{ key: `${name} address ${spelled(address)}`, object: 'address', place: name, what: spelled(address), was },
    requests: [request],
  });
  const repairs = others.map((address) =>
    repair(
      address,
      'is an address of another subnet',
      deleteAddress({ index, ip: address.ip, length: address.length }, name),
    ),
  );
  if (hasOwn || (!hasPorts && others.length === 0)) return repairs;
  const extra = gateway.ip.family === 4 ? { broadcast: broadcastOf(gateway) } : { flags: IFA_F_NODAD };
  const add = addAddress({ index, ip: gateway.ip, length: gateway.length, ...extra }, name);
  // The new address is added first, because a device that loses its last address loses its routes.
  return [repair(gateway, 'missing', add), ...repairs];
}

function isAddress({ ip, length }: Address, gateway: IpPrefix): boolean {
  return sameIp(ip, gateway.ip) && length === gateway.length;
}

/** Whether an address belongs to another subnet. Once ours is there, an address outside the pod network does no harm and does not count. */
function isOfAnotherSubnet(
  address: Address,
  gateway: IpPrefix,
  networks: readonly IpPrefix[],
  hasOwn: boolean,
): boolean {
  const { ip, family } = address;
  if (family !== gateway.ip.family || isLinkLocal(ip) || contains(networkOf(gateway), ip)) return false;
  return !hasOwn || networks.some((network) => contains(network, ip));
}

function otherSubnet({ name }: Link, gateway: IpPrefix, others: readonly Address[]): Finding {
  const has = others.map(({ ip, length }) => `${formatIp(ip)}/${length}`).join(' and ');
  const subnet = formatPrefix(networkOf(gateway));
  return {
    id: 'bridge-address-wrong',
    key: `${name} address ${has}`,
    problem:
      `${name} has ${has}, but this node's subnet is ${subnet}: pods attached to it have addresses that belong to another ` +
      `node. Move them away (kubectl drain), then run: ip link del ${name}`,
    required: true,
  };
}

const HAIRPIN_OFF = 'had hairpin off';

function portRepairs(
  { ports, loose }: ObservedPodSide,
  bridge: Link,
  attachmentOf: (name: string) => Attachment | undefined,
): Repair[] {
  const repairs: Repair[] = [];
  for (const link of loose) {
    const attachment = attachmentOf(link.name);
    if (attachment?.bridge !== bridge.name) continue;
    const { name, index } = link;
    const hairpin = attachment.hairpin ? [setBridgePort({ index, name }, { hairpin: true })] : [];
    const master = setLink({ index, name, master: bridge.index, masterName: bridge.name, up: true });
    repairs.push(portRepair(bridge, link, attachment, `was not on ${bridge.name}`, [master, ...hairpin]));
  }
  for (const link of ports) {
    if (link.kind !== 'veth' || link.port?.hairpin === true) continue;
    const attachment = attachmentOf(link.name);
    if (attachment?.hairpin !== true || attachment.bridge !== bridge.name) continue;
    const hairpin = setBridgePort({ index: link.index, name: link.name }, { hairpin: true });
    repairs.push(portRepair(bridge, link, attachment, HAIRPIN_OFF, [hairpin]));
  }
  return repairs;
}

function portRepair(
  bridge: Link,
  { name }: Link,
  { containerId, ifname }: Attachment,
  was: string,
  requests: readonly NetlinkRequest[],
): Repair {
  const what = `${name} of ${containerId.slice(0, 12)} ${ifname}`;
  const id = was === HAIRPIN_OFF ? 'hairpin-off' : 'pod-port-detached';
  return { id, key: `${name} ${was}`, object: 'attachment', place: bridge.name, what, was, requests };
}

function oldMtuFindings({ mtuBytes }: WantedPodSide, ports: readonly Link[]): Finding[] {
  if (mtuBytes === 0) return [];
  const old = ports.filter(({ kind, mtu }) => kind === 'veth' && mtu !== mtuBytes);
  if (old.length === 0) return [];
  const sizes = [...new Set(old.map(({ mtu }) => mtu))].sort((a, b) => a - b).join(', ');
  const pods = old.length === 1 ? '1 pod has' : `${old.length} pods have`;
  return [
    {
      id: 'pod-mtu-stale',
      key: 'old MTU',
      problem: `${pods} MTU ${sizes}, but the network has ${mtuBytes} now: a pod keeps the MTU with which it started; restart these pods`,
      required: false,
    },
  ];
}
