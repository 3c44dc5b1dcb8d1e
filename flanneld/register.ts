// The steps of the start between the cluster's configuration and a registered backend: which backend, which interface,
// which lease, as flannel's RegisterNetwork does them.

import type { VxlanConf } from '../lib/backend-conf.ts';
import { ConfigError, OpError } from '../lib/errors.ts';
import {
  containsPrefix,
  type Family,
  formatIp,
  formatPrefix,
  type IpPrefix,
  networkOf,
  samePrefix,
} from '../lib/ip.ts';
import type { Mac } from '../lib/mac.ts';
import type { NetConf } from '../lib/net-conf.ts';
import type { Netlink } from '../lib/netlink/connection.ts';
import { listAddresses } from '../lib/rtnetlink/address.ts';
import { RT_TABLE_MAIN } from '../lib/rtnetlink/constants.ts';
import { getLink, listLinks } from '../lib/rtnetlink/link.ts';
import { getRoute, listRoutes } from '../lib/rtnetlink/route.ts';
import { chooseVtepMac } from './backend/vtep-mac.ts';
import { backendDataFor, type OverlayTools, VxlanOverlay } from './backend/vxlan.ts';
import { vxlanDeviceName } from './backend/vxlan-device.ts';
import { type ExternalInterface, selectExternalInterface, type UnderlayAddress } from './external-interface.ts';
import type { Logger } from './log.ts';
import type { InterfaceOptions } from './options.ts';
import type { Lease, LeaseAttributes, LeaseSnapshot, SubnetManager } from './subnet/manager.ts';

/** Refuses what this version does not do yet (ConfigError) and says once what it does otherwise. */
export function checkBackend(config: NetConf, log: Logger): VxlanConf {
  const { backend } = config;
  if (backend.type !== 'vxlan') {
    throw new ConfigError(
      'net-conf',
      'Backend.Type',
      `${backend.type} is not part of this version yet, expected vxlan`,
    );
  }
  if (backend.directRouting)
    log.warn({ key: 'Backend.DirectRouting' }, 'no effect yet: every peer goes through the tunnel');
  return backend;
}

/** The network of each enabled family. */
export function networksOf({ network, ipv6Network }: NetConf): ReadonlyMap<Family, IpPrefix> {
  const networks = new Map<Family, IpPrefix>();
  if (network !== undefined) networks.set(4, network);
  if (ipv6Network !== undefined) networks.set(6, ipv6Network);
  return networks;
}

/** Reads the node's interfaces and chooses. Throws ConfigError. */
export function chooseInterface(
  options: InterfaceOptions,
  networks: ReadonlyMap<Family, IpPrefix>,
  { netlink, log }: { readonly netlink: Netlink; readonly log: Logger },
): ExternalInterface {
  const families = [...networks.keys()];
  const underlay = {
    links: listLinks(netlink),
    addresses: listAddresses(netlink),
    routes: families.flatMap((family) => listRoutes(netlink, { family, table: RT_TABLE_MAIN })),
    lookup: (ip: Parameters<typeof getRoute>[1]) => getRoute(netlink, ip),
  };
  const external = selectExternalInterface(underlay, families, options);
  for (const note of external.notes) log.warn({ iface: external.name }, note);
  return external;
}

/** An address the administrator gave this node in the cluster state counts before the command line's, as in flannel. */
export async function withNodeAddresses(
  options: InterfaceOptions,
  { manager, log }: { readonly manager: SubnetManager; readonly log: Logger },
  signal: AbortSignal,
): Promise<InterfaceOptions> {
  const chosen = await manager.nodeAddresses?.(signal);
  if (chosen?.publicIp === undefined && chosen?.publicIpv6 === undefined) return options;
  const { publicIp = options.publicIp, publicIpv6 = options.publicIpv6 } = chosen;
  log.info(
    { publicIp: publicIp && formatIp(publicIp), publicIpv6: publicIpv6 && formatIp(publicIpv6) },
    'addresses chosen by the node’s annotations',
  );
  return { ...options, publicIp, publicIpv6 };
}

export interface RegisterTools extends OverlayTools {
  readonly manager: SubnetManager;
  readonly randomMac: () => Uint8Array;
}

/** Takes the lease and returns one overlay a family; no device is touched yet. Rejects with OpError. */
export async function registerVxlan(
  conf: VxlanConf,
  networks: ReadonlyMap<Family, IpPrefix>,
  external: ExternalInterface,
  snapshot: LeaseSnapshot,
  tools: RegisterTools,
  signal: AbortSignal,
): Promise<VxlanOverlay[]> {
  const macs = new Map<Family, Mac>();
  for (const family of networks.keys()) macs.set(family, macFor(family, conf, external, snapshot, tools));
  const lease = await tools.manager.acquire(attributesFor(conf, external, macs), signal);
  const overlays: VxlanOverlay[] = [];
  for (const [family, network] of networks) {
    const mac = macs.get(family);
    if (mac === undefined) continue;
    const subnet = leasedSubnet(lease, family, network);
    const { local, publicIp } = addressOf(external, family);
    const settings = { family, conf, network, subnet, underlay: external.name, local: local.ip, publicIp, mac };
    const overlay = new VxlanOverlay(settings, tools);
    tools.log.info(overlay.describe(), 'lease taken');
    overlays.push(overlay);
  }
  return overlays;
}

function addressOf(external: ExternalInterface, family: Family): UnderlayAddress {
  const address = family === 4 ? external.ipv4 : external.ipv6;
  if (address === undefined) throw new Error(`no IPv${family} address was selected on ${external.name}`);
  return address;
}

function macFor(
  family: Family,
  conf: VxlanConf,
  external: ExternalInterface,
  { leases, ownKey }: LeaseSnapshot,
  { netlink, randomMac }: RegisterTools,
): Mac {
  const device = getLink(netlink, { name: vxlanDeviceName(family, conf.vni) });
  const { publicIp } = addressOf(external, family);
  const existing = device?.kind === 'vxlan' ? device.mac : undefined;
  return chooseVtepMac({ family, leases, ownKey, publicIp, existing, random: randomMac });
}

function attributesFor(
  conf: VxlanConf,
  { ipv4, ipv6 }: ExternalInterface,
  macs: ReadonlyMap<Family, Mac>,
): LeaseAttributes {
  const [mac4, mac6] = [macs.get(4), macs.get(6)];
  return {
    backendType: 'vxlan',
    ...(ipv4 && mac4 && { publicIp: ipv4.publicIp, backendData: backendDataFor(conf.vni, mac4) }),
    ...(ipv6 && mac6 && { publicIpv6: ipv6.publicIp, backendV6Data: backendDataFor(conf.vni, mac6) }),
  };
}

/** The lease's subnet of a family, which must be part of the network: else peers would not route it. */
function leasedSubnet(lease: Lease, family: Family, network: IpPrefix): IpPrefix {
  const subnet = family === 4 ? lease.subnet : lease.ipv6Subnet;
  const refuse = (detail: string): OpError =>
    new OpError({ subsystem: 'vxlan', op: 'use', object: `lease of ${publicIpOf(lease)}`, code: 'no subnet', detail });
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
