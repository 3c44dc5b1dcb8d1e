// The steps of the start from the cluster's configuration to a registered backend: they choose the interface, take the
// lease and make the overlays, as flannel's RegisterNetwork does.

import { OpError } from '../../lib/errors.ts';
import {
  containsPrefix,
  type Family,
  formatIp,
  formatPrefix,
  type Ip,
  type IpPrefix,
  networkOf,
  samePrefix,
} from '../../lib/ip.ts';
import type { NetConf } from '../../lib/net-conf.ts';
import type { Netlink } from '../../lib/netlink/connection.ts';
import { listAddresses } from '../../lib/rtnetlink/address.ts';
import { listLinks } from '../../lib/rtnetlink/link.ts';
import { getRoute, listRoutes } from '../../lib/rtnetlink/route.ts';
import { RT_TABLE_MAIN } from '../../lib/rtnetlink/rtnetlink-constants.ts';
import type { Backend, BackendTools, FamilyPlace } from '../backend/backend.ts';
import { Overlay } from '../backend/overlay.ts';
import type { InterfaceOptions } from '../cli/options.ts';
import type { Lease, LeaseAttributes, LeaseSnapshot, NodeAddresses, SubnetManager } from '../subnet/manager.ts';
import { checkUnderlay, type ExternalInterface, selectExternalInterface } from '../underlay/external-interface.ts';
import { checkFlagAddress, isBroadcastHere } from '../underlay/own-address.ts';

/** The network of each enabled family. */
export function networksOf({ network, ipv6Network }: NetConf): ReadonlyMap<Family, IpPrefix> {
  const networks = new Map<Family, IpPrefix>();
  if (network !== undefined) networks.set(4, network);
  if (ipv6Network !== undefined) networks.set(6, ipv6Network);
  return networks;
}

/** Chooses the interface. Addresses from the cluster state win over those of the command line, as in flannel. Throws ConfigError. */
export function chooseInterface(
  given: InterfaceOptions,
  addresses: NodeAddresses,
  networks: ReadonlyMap<Family, IpPrefix>,
  netlink: Netlink,
): ExternalInterface {
  const families = [...networks.keys()];
  const podNetworks = [...networks.values()];
  const isBroadcast = (ip: Ip): boolean => isBroadcastHere(netlink, ip);
  if (families.includes(4)) checkFlagAddress('--public-ip', given.publicIp, podNetworks, isBroadcast);
  if (families.includes(6)) checkFlagAddress('--public-ipv6', given.publicIpv6, podNetworks, isBroadcast);
  const { publicIp = given.publicIp, publicIpv6 = given.publicIpv6 } = addresses;
  const underlay = {
    links: listLinks(netlink),
    addresses: listAddresses(netlink),
    routes: families.flatMap((family) => listRoutes(netlink, { family, table: RT_TABLE_MAIN })),
    lookup: (ip: Parameters<typeof getRoute>[1]) => getRoute(netlink, ip),
  };
  const external = selectExternalInterface(underlay, families, { ...given, publicIp, publicIpv6 });
  checkUnderlay(external, podNetworks);
  return external;
}

/** Throws OpError (`lost`) when a renewed lease has other subnets, because this node's pods have addresses of the old ones. */
export function checkSameSubnets(before: readonly Overlay[], now: readonly Overlay[]): void {
  const show = (overlays: readonly Overlay[]): string => overlays.map(({ subnet }) => formatPrefix(subnet)).join(' ');
  const [object, got] = [show(before), show(now)];
  if (object === got) return;
  const detail = `the store now gives this node ${got}; a restart uses that subnet, existing pods keep their addresses`;
  throw new OpError({ subsystem: 'leases', op: 'keep lease', object, code: 'lost', detail });
}

export interface RegisterTools extends BackendTools {
  readonly manager: SubnetManager;
}

/** Takes the lease and returns one overlay a family; no device is touched yet. Rejects with OpError. */
export async function registerBackend(
  backend: Backend,
  networks: ReadonlyMap<Family, IpPrefix>,
  external: ExternalInterface,
  snapshot: LeaseSnapshot,
  tools: RegisterTools,
  signal: AbortSignal,
): Promise<Overlay[]> {
  for (const note of external.notes) tools.log.warn({ iface: external.name }, note);
  const places = placesOf(external, networks);
  const start = { places, snapshot, tools, signal };
  const advertised = await backend.advertise(start);
  const lease = await tools.manager.acquire({ ...advertised, ...addressesOf(places) }, signal);
  const families = places.map((place) => ({
    ...place,
    // The store may have another address than the one advertised: an administrator can overwrite it.
    publicIp: (place.family === 4 ? lease.publicIp : lease.publicIpv6) ?? place.publicIp,
    subnet: leasedSubnet(backend.type, lease, place.family, place.network),
  }));
  const overlays = backend.overlays(start, families, lease).map((spec) => new Overlay(spec, tools));
  for (const overlay of overlays) tools.log.info(overlay.describe(), 'lease taken');
  return overlays;
}

/** The interface and addresses that each family uses in the underlay. */
export function placesOf(external: ExternalInterface, networks: ReadonlyMap<Family, IpPrefix>): FamilyPlace[] {
  return [...networks].map(([family, network]) => placeOf(external, family, network));
}

function placeOf(external: ExternalInterface, family: Family, network: IpPrefix): FamilyPlace {
  const address = family === 4 ? external.ipv4 : external.ipv6;
  if (address === undefined) throw new Error(`no IPv${family} address was selected on ${external.name}`);
  return { family, network, underlay: external.name, local: address.local.ip, publicIp: address.publicIp };
}

function addressesOf(places: readonly FamilyPlace[]): Pick<LeaseAttributes, 'publicIp' | 'publicIpv6'> {
  const ip = (wanted: Family): FamilyPlace['publicIp'] | undefined =>
    places.find(({ family }) => family === wanted)?.publicIp;
  const [publicIp, publicIpv6] = [ip(4), ip(6)];
  return { ...(publicIp && { publicIp }), ...(publicIpv6 && { publicIpv6 }) };
}

/** The lease's subnet of a family. It must lie inside the network, because peers do not route any other. */
function leasedSubnet(subsystem: string, lease: Lease, family: Family, network: IpPrefix): IpPrefix {
  const subnet = family === 4 ? lease.subnet : lease.ipv6Subnet;
  const refuse = (detail: string): OpError =>
    new OpError({ subsystem, op: 'use', object: `lease of ${publicIpOf(lease)}`, code: 'no subnet', detail });
  if (subnet === undefined) throw refuse(`IPv${family} is enabled but the lease has no IPv${family} subnet`);
  if (!samePrefix(networkOf(subnet), subnet)) throw refuse(`subnet ${formatPrefix(subnet)} has host bits set`);
  if (!containsPrefix(network, subnet)) {
    throw refuse(`subnet ${formatPrefix(subnet)} is outside the network ${formatPrefix(network)}`);
  }
  return subnet;
}

function publicIpOf({ publicIp, publicIpv6 }: Lease): string {
  const ip = publicIp ?? publicIpv6;
  return ip === undefined ? 'this node' : formatIp(ip);
}
