// An overlay with made-up peers on a device of its own: the leases that other nodes would publish, and this node's kernel objects.

import type { OverlayConfig } from '../../flanneld/backend/vxlan/vxlan-lease.ts';
import type { Device, Place } from '../../flanneld/dataplane/objects/kind.ts';
import type { Lease } from '../../flanneld/subnet/manager.ts';
import { formatIp, type Ip, type IpPrefix } from '../../lib/ip.ts';
import { jsonObject } from '../../lib/json.ts';
import { type Mac, macFromBytes } from '../../lib/mac.ts';
import type { Netlink } from '../../lib/netlink/connection.ts';
import { addAddress } from '../../lib/rtnetlink/address.ts';
import { addBridge } from '../../lib/rtnetlink/bridge.ts';
import { deleteLink, getLink, setLink } from '../../lib/rtnetlink/link.ts';
import { addVxlan } from '../../lib/rtnetlink/vxlan.ts';

export const UNDERLAY = 'underlay0';
export const DEVICE = 'flannel.1';
export const VNI = 1;
export const PORT = 8472;

/** 10.64.0.0/10 holds 16,384 subnets of /24. As in flannel, no node gets the first one. This node has the second. */
const NETWORK_BASE = 0x0a40_0000n;
/** Public addresses are from 172.16.0.0/12. This node has the first one. */
const PUBLIC_BASE = 0xac10_0001n;

const ipv4 = (value: bigint): Ip => ({ family: 4, value });

/** The MAC of the n-th node's VXLAN device. */
export function vtepMac(node: number): Mac {
  return macFromBytes(new Uint8Array([0x0e, 0x57, 0, node >>> 16, node >>> 8, node]));
}

export function subnetOf(node: number): IpPrefix {
  return { ip: ipv4(NETWORK_BASE + (BigInt(node + 1) << 8n)), length: 24 };
}

export function publicIpOf(node: number): Ip {
  return ipv4(PUBLIC_BASE + BigInt(node));
}

export const overlayConfig: OverlayConfig = {
  family: 4,
  network: { ip: ipv4(NETWORK_BASE), length: 10 },
  subnet: subnetOf(0),
  publicIp: publicIpOf(0),
  vni: VNI,
  mac: vtepMac(0),
};

/** The overlay's net-conf.json. */
export const netConf = JSON.stringify({
  Network: '10.64.0.0/10',
  SubnetLen: 24,
  EnableNFTables: true,
  Backend: { Type: 'vxlan', VNI, Port: PORT },
});

/** The n-th node's lease with its key. Node 0 is this node. */
export function leaseOf(node: number): [key: string, lease: Lease] {
  const publicIp = publicIpOf(node);
  const backendData = jsonObject({ VNI, VtepMAC: vtepMac(node) });
  return [formatIp(publicIp), { subnet: subnetOf(node), publicIp, backendType: 'vxlan', backendData }];
}

/** The leases of `count` peers. */
export function leasesOf(count: number): ReadonlyMap<string, Lease> {
  return new Map(Array.from({ length: count }, (_, index) => leaseOf(index + 1)));
}

/** Creates, in the current namespace, the underlay interface with this node's public address. */
export function makeUnderlay(netlink: Netlink): void {
  netlink.run(setLink({ name: 'lo', up: true }));
  netlink.run(addBridge({ name: UNDERLAY, mac: macFromBytes(new Uint8Array([2, 0, 0, 0, 0, 1])), up: true }));
  const index = getLink(netlink, { name: UNDERLAY })?.index ?? 0;
  netlink.run(addAddress({ index, ip: publicIpOf(0), length: 12 }));
}

/** Removes the VXLAN device and thereby all its peers. */
export function removeDevice(netlink: Netlink): void {
  const old = getLink(netlink, { name: DEVICE });
  if (old !== undefined) netlink.run(deleteLink({ index: old.index, name: DEVICE }));
}

/** The place (device and underlay) on which the peers of `tunnel` are programmed. */
export function placeOf(netlink: Netlink, tunnel: Device): Place {
  const underlay = { index: getLink(netlink, { name: UNDERLAY })?.index ?? 0, name: UNDERLAY };
  return { family: 4, network: overlayConfig.network, tunnel, underlay };
}

/** Creates a VXLAN device without peers. */
export function freshDevice(netlink: Netlink): Device {
  removeDevice(netlink);
  const lowerIndex = getLink(netlink, { name: UNDERLAY })?.index ?? 0;
  const vxlan = { vni: VNI, port: PORT, local: publicIpOf(0), learning: false, lowerIndex };
  netlink.run(addVxlan({ name: DEVICE, mac: vtepMac(0), mtu: 1450, up: true, vxlan }));
  const index = getLink(netlink, { name: DEVICE })?.index;
  if (index === undefined) throw new Error(`${DEVICE} was made and is not there`);
  netlink.run(addAddress({ index, ip: subnetOf(0).ip, length: 32 }));
  return { index, name: DEVICE };
}
