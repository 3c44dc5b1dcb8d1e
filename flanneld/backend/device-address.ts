// This node's address on its VXLAN device: the first address of its subnet as /32 (/128), and no other address of the network
// (flannel pkg/ip EnsureV4AddressOnLink, EnsureV6AddressOnLink).

import { addressBits, contains, type Ip, type IpPrefix, isLinkLocal, sameIp } from '../../lib/ip.ts';
import type { Netlink } from '../../lib/netlink/connection.ts';
import { NetlinkError, type NetlinkRequest } from '../../lib/netlink/request.ts';
import { type Address, addAddress, deleteAddress, listAddresses } from '../../lib/rtnetlink/address.ts';
import { IFA_F_NODAD } from '../../lib/rtnetlink/rtnetlink-constants.ts';
import { EADDRNOTAVAIL, EEXIST } from '../../lib/sys/errno.ts';
import type { Device } from '../dataplane/objects/kind.ts';

/**
 * Makes `ip` the device's only address. For IPv4, other addresses inside `network` are removed, for IPv6 all except link-local ones: the
 * kernel would choose one of them as source. The new address is added first, because a device that loses its last address loses its routes.
 * Throws NetlinkError.
 */
export function ensureOwnAddress(
  netlink: Netlink,
  device: Device,
  ip: Ip,
  network: IpPrefix,
  onChange: (request: NetlinkRequest, was: string) => void,
): void {
  const present = listAddresses(netlink, { index: device.index, family: ip.family });
  const length = addressBits(ip.family);
  const isOwn = (address: Address): boolean => sameIp(address.ip, ip) && address.length === length;
  if (!present.some(isOwn)) {
    // No duplicate address detection: no other node can have the address, and detection would make it unusable for a second or two.
    const flags = ip.family === 6 ? { flags: IFA_F_NODAD } : {};
    const request = addAddress({ index: device.index, ip, length, ...flags }, device.name);
    if (runUnless(netlink, request, EEXIST)) onChange(request, 'missing');
  }
  for (const address of present) {
    if (isOwn(address) || !isForeign(address, network)) continue;
    const request = deleteAddress({ index: device.index, ip: address.ip, length: address.length }, device.name);
    if (runUnless(netlink, request, EADDRNOTAVAIL)) onChange(request, 'was not this node’s address');
  }
}

function isForeign({ ip }: Address, network: IpPrefix): boolean {
  return ip.family === 4 ? contains(network, ip) : !isLinkLocal(ip);
}

/** Runs the request; returns false when the kernel answers with the errno `done`, because somebody else made the same change meanwhile. */
function runUnless(netlink: Netlink, request: NetlinkRequest, done: number): boolean {
  try {
    netlink.run(request);
    return true;
  } catch (error) {
    if (error instanceof NetlinkError && error.errno === done) return false;
    throw error;
  }
}
