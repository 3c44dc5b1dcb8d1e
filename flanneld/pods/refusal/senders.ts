// The senders of probes in each family: a pod of this node, whose packets arrive by the bridge, and a pod of another node, whose packets
// arrive by the tunnel.

import { addToIp, broadcastOf, type Ip, type IpPrefix, networkOf } from '../../../lib/ip.ts';
import { getLink, type Link } from '../../../lib/rtnetlink/link.ts';
import type { PathFamily } from '../side/paths.ts';
import { type Inject, type InjectTools, throughBridge, throughTunnel } from './inject.ts';

export interface Sender {
  /** The key of a finding about it. */
  readonly key: string;
  /** What it sends, in words. */
  readonly what: string;
  readonly inject: Inject;
  readonly from: Ip;
  /** An address of this node's subnet that no pod has. */
  readonly to: Ip;
  /** Destination of the traced packet. A pod's packet is traced to another node, since traffic among pods here may be forbidden. */
  readonly away: Ip;
  readonly network: IpPrefix;
  /** The devices by which such packets arrive and leave. */
  readonly devices: readonly string[];
  /** Whether it needs a temporary device, which other programs see come and go. */
  readonly isCostly: boolean;
}

/** How many addresses are tried to find free ones. */
const CANDIDATES = 64;

/** The senders of a family; none when the subnet is full. `isTaken` says whether somebody may have the address. Throws NetlinkError. */
export function sendersOf(
  bridge: Link,
  { network, subnet, peers, device }: PathFamily,
  isTaken: (ip: Ip) => boolean,
  tools: InjectTools,
): Sender[] {
  const [from, first, second] = freeAddresses(subnet, isTaken);
  if (from === undefined || first === undefined || second === undefined) return [];
  const version = `IPv${network.ip.family}`;
  const [peer] = peers;
  const devices = [bridge.name, ...(device === undefined ? [] : [device.name])];
  const fromPods: Sender = {
    key: `forwarding of ${version} from pods`,
    what: `packets of pods, in by ${bridge.name},`,
    inject: throughBridge(bridge, tools),
    ...{ from, to: first, away: peer === undefined ? first : networkOf(peer).ip, network, devices, isCostly: true },
  };
  const tunnel = device === undefined ? undefined : getLink(tools.netlink, { index: device.index });
  const inject = tunnel === undefined ? undefined : throughTunnel(tunnel, tools);
  if (tunnel === undefined || inject === undefined || peer === undefined) return [fromPods];
  const fromOthers: Sender = {
    key: `forwarding of ${version} from other nodes`,
    what: `packets of other nodes’ pods, in by ${tunnel.name},`,
    inject,
    // The source is the other node's own address: it receives any answer, and no pod there is addressed.
    from: networkOf(peer).ip,
    ...{ to: second, away: second, network, devices, isCostly: false },
  };
  return [fromOthers, fromPods];
}

/** Three free addresses from the end of the subnet, because pods get addresses from its start. */
function freeAddresses(subnet: IpPrefix, isTaken: (ip: Ip) => boolean): Ip[] {
  const last = broadcastOf(subnet);
  const lowest = networkOf(subnet).ip.value + 2n;
  const free: Ip[] = [];
  for (let n = 1; n < CANDIDATES && free.length < 3; n++) {
    const ip = addToIp(last, -n);
    if (ip.value < lowest) break;
    if (!isTaken(ip)) free.push(ip);
  }
  return free;
}
