// How a packet comes to be forwarded by this node as if a pod had sent it, with NET_ADMIN alone: it is given to a VXLAN
// device as what came in by the tunnel. The backend's own device stands for other nodes' pods; for the pods here a
// device is a port of their bridge for some milliseconds.

import { isLinkLocal } from '../../../lib/ip.ts';
import type { Mac } from '../../../lib/mac.ts';
import type { Netlink } from '../../../lib/netlink/connection.ts';
import { NetlinkError } from '../../../lib/netlink/request.ts';
import { deleteLink, getLink, type Link } from '../../../lib/rtnetlink/link.ts';
import { addVxlan } from '../../../lib/rtnetlink/vxlan.ts';
import type { Syscalls } from '../../../lib/sys/syscalls.ts';
import { sendToLoopback } from '../../../lib/sys/udp.ts';
import { type ProbePacket, vxlanProbe } from './packet.ts';

export type Addresses = Pick<ProbePacket, 'from' | 'to'>;

/** Gives packets to the node, as one after another of the same sort of sender. */
export type Inject = (packets: readonly Addresses[]) => void;

export interface InjectTools {
  readonly sys: Syscalls;
  readonly netlink: Netlink;
  readonly random: () => number;
}

/** The device while it is there. */
export const PROBE_DEVICE = 'weft-probe';
/** Never the lowest of a bridge's ports, whose MAC a bridge may take. */
const PROBE_MAC = 'fe:77:65:66:74:00' as Mac;
/** Behind the ports the kernel gives out by itself (ip_local_port_range). */
const FIRST_PORT = 61_001;
const PORTS = 4000;

/** By the tunnel; undefined where the device is no VXLAN device. Throws NetlinkError. */
export function throughTunnel(tunnel: Link, { sys }: InjectTools): Inject | undefined {
  const { vxlan, mac } = tunnel;
  if (vxlan?.port === undefined || mac === undefined) return undefined;
  const { vni, port, local } = vxlan;
  const underlay = local?.family ?? 4;
  // What comes in by another device than the link-local address is on is for another overlay (VXLAN_F_IPV6_LINKLOCAL).
  if (local !== undefined && isLinkLocal(local)) return undefined;
  return (packets) => {
    for (const packet of packets) sendToLoopback(sys, underlay, port, vxlanProbe(vni, { ...packet, toMac: mac }));
  };
}

/** By the bridge; the packets have been forwarded or refused when it returns, or will be in a moment. Throws OpError. */
export function throughBridge(bridge: Link, { sys, netlink, random }: InjectTools): Inject {
  return (packets) => {
    const toMac = bridge.mac;
    if (toMac === undefined) return;
    const left = getLink(netlink, { name: PROBE_DEVICE });
    if (left !== undefined) netlink.run(deleteLink({ index: left.index, name: PROBE_DEVICE }));
    // Both by chance: nobody outside can send into the pods' bridge while it is there.
    const vni = 1 + Math.floor(random() * 0xff_fffe);
    const port = FIRST_PORT + Math.floor(random() * PORTS);
    const device = { name: PROBE_DEVICE, mac: PROBE_MAC, mtu: bridge.mtu, master: bridge.index, up: true };
    netlink.run(addVxlan({ ...device, vxlan: { vni, port, learning: false } }));
    try {
      for (const packet of packets) sendToLoopback(sys, 4, port, vxlanProbe(vni, { ...packet, toMac }));
    } finally {
      removeDevice(netlink);
    }
  };
}

function removeDevice(netlink: Netlink): void {
  const [failed] = netlink.execute([deleteLink({ name: PROBE_DEVICE })]);
  if (failed instanceof NetlinkError && failed.code !== 'ENODEV') throw failed;
}
