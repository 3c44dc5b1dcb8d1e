// The bridge itself: makes it if it is missing, pins its MAC, and sets gateway addresses and forwarding.

import { broadcastOf, formatIp, type Ip, type IpPrefix, overlaps, sameIp } from '../../lib/ip.ts';
import { linkLocalOf } from '../../lib/link-local.ts';
import type { Mac } from '../../lib/mac.ts';
import type { Netlink } from '../../lib/netlink/connection.ts';
import type { NetlinkRequest } from '../../lib/netlink/request.ts';
import { bridgeMac } from '../../lib/pods/names.ts';
import { type Address, addAddress, deleteAddress, listAddresses } from '../../lib/rtnetlink/address.ts';
import { addBridge } from '../../lib/rtnetlink/bridge.ts';
import { getLink, type Link, setLink } from '../../lib/rtnetlink/link.ts';
import { IFA_F_NODAD, IFF_PROMISC, IFF_UP, RT_SCOPE_LINK } from '../../lib/rtnetlink/rtnetlink-constants.ts';
import { EEXIST, EOPNOTSUPP } from '../../lib/sys/errno.ts';
import type { Syscalls } from '../../lib/sys/syscalls.ts';
import { because, CniError, failure, UNTYPED, withPrefix } from '../protocol/error.ts';
import { ensureSysctl, tryWriteSysctl } from '../sysctl.ts';
import type { BridgeConfig } from './bridge-config.ts';
import { NO_VLAN_FILTERING, usesVlans } from './vlan.ts';

/** The bridge as the kernel has it; undefined when there is none. Throws when the name belongs to another kind of device. */
export function findBridge(netlink: Netlink, name: string): Link | undefined {
  const link = getLink(netlink, { name });
  if (link === undefined || link.kind === 'bridge') return link;
  throw failure(`failed to create bridge "${name}": "${name}" already exists but is not a bridge`);
}

/** Makes the bridge unless it exists, and brings it up. The MAC of a new one follows from `gateway`. */
export function ensureBridge(
  sys: Syscalls,
  netlink: Netlink,
  config: BridgeConfig,
  found: Link | undefined,
  gateway: Ip | undefined,
): Link {
  const link = found ?? createBridge(sys, netlink, config, gateway);
  const up = (link.flags & IFF_UP) === 0;
  const promisc = config.promisc && (link.flags & IFF_PROMISC) === 0;
  if (up || promisc) {
    const change = promisc ? { up: true, promisc: true } : { up: true };
    withPrefix(`cannot set "${config.bridge}" up or promiscuous: `, () =>
      netlink.run(setLink({ index: link.index, ...change })),
    );
  }
  return link;
}

function createBridge(sys: Syscalls, netlink: Netlink, config: BridgeConfig, gateway: Ip | undefined): Link {
  const name = config.bridge;
  // The kernel keeps a MAC that was given at creation: neither ports that come and go nor udev change it.
  const mac = bridgeMac(gateway, name);
  const [failed] = netlink.execute([
    addBridge({ name, mac, up: true, ...(usesVlans(config) ? { vlanFiltering: true } : {}) }),
  ]);
  if (failed !== undefined && failed.errno !== EEXIST) {
    const refused = because(`failed to create bridge "${name}"`, failed);
    const vlans = failed.errno === EOPNOTSUPP && usesVlans(config);
    throw vlans ? new CniError(UNTYPED, refused.message, NO_VLAN_FILTERING) : refused;
  }
  const link = findBridge(netlink, name);
  if (link === undefined) throw failure(`failed to create bridge "${name}": it was removed at once`);
  if (failed === undefined) {
    // The kernel regards an MTU as set by the user only when it is changed after creation, and then keeps it when the last port goes.
    if (config.mtu !== undefined) netlink.run(setLink({ index: link.index, mtu: config.mtu }));
    // Pods must not influence the node's routes. The agent's rules prevent this as well, even on bridges of other programs.
    tryWriteSysctl(sys, `ipv6/conf/${name}/accept_ra`, '0');
    tryWriteSysctl(sys, `ipv6/conf/${name}/accept_redirects`, '0');
    tryWriteSysctl(sys, `ipv4/conf/${name}/accept_redirects`, '0');
    // For the address that the kernel makes when the bridge is set down and up.
    tryWriteSysctl(sys, `ipv6/conf/${name}/accept_dad`, '0');
  }
  return link;
}

/** Whether an address of the bridge conflicts with `gateway`: any other IPv4 address, or an overlapping IPv6 one. */
function differs(address: Address, gateway: IpPrefix): boolean {
  if (address.family !== gateway.ip.family) return false;
  return address.family === 4 || overlaps({ ip: address.ip, length: address.length }, gateway);
}

function isSame(address: Address, gateway: IpPrefix): boolean {
  return sameIp(address.ip, gateway.ip) && address.length === gateway.length;
}

function addressConflict(bridge: string, address: Address, gateway: IpPrefix): CniError {
  const wanted = `${formatIp(gateway.ip)}/${gateway.length}`;
  const has = `${formatIp(address.ip)}/${address.length}`;
  return new CniError(
    UNTYPED,
    `failed to set bridge addr: "${bridge}" already has an IP address different from ${wanted}`,
    `it has ${has}: remove it (ip addr del ${has} dev ${bridge}) or set "forceAddress": true`,
  );
}

/**
 * Adds a gateway address to the bridge, or to the interface of its VLAN. Throws CniError 999 when another address conflicts with it and
 * `forceAddress` is not set.
 */
export function ensureGatewayAddress(netlink: Netlink, bridge: Link, gateway: IpPrefix, config: BridgeConfig): void {
  const { index, name } = bridge;
  const { family } = gateway.ip;
  for (const address of listAddresses(netlink, { index, family })) {
    if (isSame(address, gateway)) return;
    if (!differs(address, gateway)) continue;
    if (!config.forceAddress) throw addressConflict(name, address, gateway);
    netlink.run(deleteAddress(address, name));
  }
  const v4 = { broadcast: broadcastOf(gateway) };
  const spec = { index, ip: gateway.ip, length: gateway.length, ...(family === 4 ? v4 : { flags: IFA_F_NODAD }) };
  const mac = macOf(bridge, gateway);
  const request = addAddress(spec, name);
  const requests = family === 4 ? [request] : [request, addLinkLocal(bridge, mac)];
  const failed = netlink.execute(requests).find((each) => each.request === request);
  if (failed !== undefined && failed.errno !== EEXIST) {
    throw because(`cannot give "${name}" the address ${formatIp(gateway.ip)}/${gateway.length}`, failed);
  }
  // A bridge that another program made has the lowest MAC of its ports until a MAC is set.
  if (bridge.kind === 'bridge') netlink.run(setLink({ index, mac }));
}

function macOf(bridge: Link, gateway: IpPrefix): Mac {
  const current = bridge.mac;
  return current === undefined || current === '00:00:00:00:00:00' ? bridgeMac(gateway.ip, bridge.name) : current;
}

/**
 * Adds the link-local address that the kernel would give the bridge with its first port, but earlier and without duplicate address
 * detection. The node uses this address to ask for a pod's MAC. While the address is tentative the node cannot ask, and packets from others
 * to the first pod wait for one to two seconds. Where the kernel makes no such address (addr_gen_mode 1), no packet would ever arrive. A
 * failure is ignored: the address exists, or the kernel makes its own.
 */
function addLinkLocal({ index, name }: Link, mac: Mac): NetlinkRequest {
  return addAddress({ index, ip: linkLocalOf(mac), length: 64, scope: RT_SCOPE_LINK, flags: IFA_F_NODAD }, name);
}

/** Lets the node forward packets of the families that have a gateway. */
export function enableForwarding(sys: Syscalls, gateways: readonly Ip[]): void {
  withForwardingPrefix(() => {
    if (gateways.some((ip) => ip.family === 4)) ensureSysctl(sys, 'ipv4/ip_forward', '1');
    if (gateways.some((ip) => ip.family === 6)) ensureSysctl(sys, 'ipv6/conf/all/forwarding', '1');
  });
}

function withForwardingPrefix(body: () => void): void {
  try {
    body();
  } catch (thrown) {
    throw because('cannot switch forwarding on', thrown);
  }
}
