// The least that a pod's network can cost: a process that already runs creates a veth pair, an address and three routes. There is no
// plugin, no bridge, no address management and no result. The pod's gateway is an address of RFC 3927's link-local block.

import { addToIp, hostPrefix, type IpPrefix, networkOf, parseIp } from '../../lib/ip.ts';
import { openNetlink } from '../../lib/netlink/connection.ts';
import type { NetlinkRequest } from '../../lib/netlink/request.ts';
import { addAddress } from '../../lib/rtnetlink/address.ts';
import { deleteLink, setLink } from '../../lib/rtnetlink/link.ts';
import { addRoute } from '../../lib/rtnetlink/route.ts';
import { createVeth } from '../../lib/rtnetlink/veth.ts';
import { closeFd } from '../../lib/sys/file.ts';
import { inNetns, openNetns } from '../../lib/sys/netns.ts';
import type { Syscalls } from '../../lib/sys/syscalls.ts';
import { monotonicNs } from '../../test/lab/command.ts';

const HOST_END = 'bare0';
const GATEWAY = parseIp('169.254.1.1');
const MTU_BYTES = 1450;
/** The pod's host number in the node's subnet. One is enough, since there is only one such pod at a time. */
const HOST_NUMBER = 250;

export interface BareTimes {
  readonly startNs: number;
  readonly endNs: number;
}

/** Connects the pod's namespace to the node's; both are paths. Synchronous, because the thread enters these namespaces. */
export function attachBare(sys: Syscalls, nodePath: string, podPath: string, subnet: IpPrefix): BareTimes {
  const startNs = monotonicNs();
  const [node, pod] = [openNetns(sys, nodePath), openNetns(sys, podPath)];
  try {
    const ip = addToIp(networkOf(subnet).ip, HOST_NUMBER);
    const ends = inNetns(sys, node, () => {
      const netlink = openNetlink(sys);
      try {
        const peer = { name: 'eth0', netnsFd: pod, mtu: MTU_BYTES };
        const { link, peerIndex } = createVeth(netlink, { name: HOST_END, mtu: MTU_BYTES, up: true, peer });
        const host = link.index;
        const gateway = addAddress({ index: host, ip: GATEWAY, length: 32 });
        runAll(netlink, [gateway, addRoute({ destination: hostPrefix(ip), oif: host })]);
        return { host, pod: peerIndex };
      } finally {
        netlink.close();
      }
    });
    inNetns(sys, pod, () => {
      const netlink = openNetlink(sys);
      try {
        runAll(netlink, [
          addAddress({ index: ends.pod, ip, length: 32 }),
          setLink({ index: ends.pod, up: true }),
          addRoute({ destination: hostPrefix(GATEWAY), oif: ends.pod }),
          addRoute({ destination: { ip: parseIp('0.0.0.0'), length: 0 }, gateway: GATEWAY, oif: ends.pod }),
        ]);
      } finally {
        netlink.close();
      }
    });
    return { startNs, endNs: monotonicNs() };
  } finally {
    closeFd(sys, node);
    closeFd(sys, pod);
  }
}

/** Removes the pair; does nothing when there is none. */
export function detachBare(sys: Syscalls, nodePath: string): void {
  const node = openNetns(sys, nodePath);
  try {
    inNetns(sys, node, () => {
      const netlink = openNetlink(sys);
      netlink.execute([deleteLink({ name: HOST_END })]);
      netlink.close();
    });
  } finally {
    closeFd(sys, node);
  }
}

function runAll(netlink: { execute(requests: readonly NetlinkRequest[]): Error[] }, requests: NetlinkRequest[]): void {
  const [failure] = netlink.execute(requests);
  if (failure !== undefined) throw failure;
}
