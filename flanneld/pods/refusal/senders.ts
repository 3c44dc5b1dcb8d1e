// Who sends a probe: a pod here, in by the bridge, and another node's pod, in by the tunnel; of each family.

import { addToIp, broadcastOf, type Ip, type IpPrefix, networkOf } from '../../../lib/ip.ts';
import { getLink, type Link } from '../../../lib/rtnetlink/link.ts';
import type { PathFamily } from '../side/paths.ts';
import { type Inject, type InjectTools, throughBridge, throughTunnel } from './inject.ts';

export interface Sender {
  /** What a finding about it is called. */
  readonly key: string;
  /** What it sends, in words. */
  readonly what: string;
  readonly inject: Inject;
  readonly from: Ip;
  /** An address out of this node's subnet that nobody has. */
  readonly to: Ip;
  /** Where the same packet goes that is traced: what pods send goes to other nodes, as that back to them may be forbidden. */
  readonly away: Ip;
  readonly network: IpPrefix;
  /** The devices such packets come in and leave by. */
  readonly devices: readonly string[];
  /** Whether it takes a device of its own, which others see come and go. */
  readonly isCostly: boolean;
}

/** Addresses looked at for one that nobody has. */
const CANDIDATES = 64;

/** Those of a family; none where the subnet is full. `isTaken` tells whether an address may be somebody's. Throws NetlinkError. */
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
    // Another node's own address: it gets what is answered, and nobody there asks for it.
    from: networkOf(peer).ip,
    ...{ to: second, away: second, network, devices, isCostly: false },
  };
  return [fromOthers, fromPods];
}

/** Three, from the end of the subnet: addresses are given out from its start. */
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
