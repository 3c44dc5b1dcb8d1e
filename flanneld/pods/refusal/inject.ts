// Makes the node forward a packet as if a pod had sent it, with NET_ADMIN alone: the packet is sent to the port of a VXLAN device, so that
// it arrives by that device. For pods of other nodes this is the backend's own device. For pods of this node a device is made that is a
// port of their bridge for some milliseconds.

import { isLinkLocal } from '../../../lib/ip.ts';
import type { Mac } from '../../../lib/mac.ts';
import type { Netlink } from '../../../lib/netlink/connection.ts';
import { NetlinkError } from '../../../lib/netlink/request.ts';
import { deleteLink, getLink, type Link } from '../../../lib/rtnetlink/link.ts';
import { addVxlan } from '../../../lib/rtnetlink/vxlan.ts';
import type { Syscalls } from '../../../lib/sys/syscalls.ts';
import { sendToLoopback } from '../../../lib/sys/udp.ts';
import { type ProbePacket, vxlanProbe } from './packet.ts';

export type Addresses = Pick<ProbePacket, 'from' | 'to' | 'transport'>;

/** Gives the node packets, one after another, as if they came from one kind of sender. */
export type Inject = (packets: readonly Addresses[]) => void;

export interface InjectTools {
  readonly sys: Syscalls;
  readonly netlink: Netlink;
  readonly random: () => number;
  /** The name of the temporary device, where it is not the agent's. */
  readonly probeDevice?: string;
}

/** The name of the agent's temporary device, and of the doctor's. */
const PROBE_DEVICE = 'weft-probe';
export const DOCTOR_DEVICE = 'weft-doctor';
export const MOMENTARY_DEVICES: readonly string[] = [PROBE_DEVICE, DOCTOR_DEVICE];
/** A high MAC, because a bridge may take the lowest MAC of its ports as its own. */
const PROBE_MAC = 'fe:77:65:66:74:00' as Mac;
/** Above the ports that the kernel assigns by itself (ip_local_port_range). */
const FIRST_PORT = 61_001;
const PORTS = 4000;

/** Injects by the tunnel's device; undefined when that is no VXLAN device. Throws NetlinkError. */
export function throughTunnel(tunnel: Link, { sys }: InjectTools): Inject | undefined {
  const { vxlan, mac } = tunnel;
  if (vxlan?.port === undefined || mac === undefined) return undefined;
  const { vni, port, local } = vxlan;
  const underlay = local?.family ?? 4;
  // With a link-local address the kernel accepts only packets from that address's own link (VXLAN_F_IPV6_LINKLOCAL).
  if (local !== undefined && isLinkLocal(local)) return undefined;
  return (packets) => {
    for (const packet of packets) sendToLoopback(sys, underlay, port, vxlanProbe(vni, { ...packet, toMac: mac }));
  };
}

/** Injects by the bridge. When it returns, the packets have been forwarded or refused, or will be in a moment. Throws OpError. */
export function throughBridge(
  bridge: Link,
  { sys, netlink, random, probeDevice: name = PROBE_DEVICE }: InjectTools,
): Inject {
  return (packets) => {
    const toMac = bridge.mac;
    if (toMac === undefined) return;
    const left = getLink(netlink, { name });
    if (left !== undefined) netlink.run(deleteLink({ index: left.index, name }));
    // VNI and port are random, so that nobody outside can send to the pods' bridge while the device exists.
    const vni = 1 + Math.floor(random() * 0xff_fffe);
    const port = FIRST_PORT + Math.floor(random() * PORTS);
    const device = { name, mac: PROBE_MAC, mtu: bridge.mtu, master: bridge.index, up: true };
    netlink.run(addVxlan({ ...device, vxlan: { vni, port, learning: false } }));
    try {
      for (const packet of packets) sendToLoopback(sys, 4, port, vxlanProbe(vni, { ...packet, toMac }));
    } finally {
      removeDevice(netlink, name);
    }
  };
}

function removeDevice(netlink: Netlink, name: string): void {
  const [failed] = netlink.execute([deleteLink({ name })]);
  if (failed instanceof NetlinkError && failed.code !== 'ENODEV') throw failed;
}
