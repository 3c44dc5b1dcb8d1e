// The namespaces in which plugins are called: nodes, which the driver itself enters, and pods, which are mounted as a runtime
// mounts them. Imports only what runs on QuickJS.

import { formatIp, formatPrefix } from '../../lib/ip.ts';
import { openNetlink } from '../../lib/netlink/connection.ts';
import { listAddresses } from '../../lib/rtnetlink/address.ts';
import { listLinks, setLink } from '../../lib/rtnetlink/link.ts';
import { listRoutes } from '../../lib/rtnetlink/route.ts';
import { IFF_UP, RT_TABLE_MAIN, RTPROT_KERNEL } from '../../lib/rtnetlink/rtnetlink-constants.ts';
import { createFile, makeDirs, O_RDONLY, openFile } from '../../lib/sys/file.ts';
import { inNetns, openNetns } from '../../lib/sys/netns.ts';
import { check } from '../../lib/sys/sys-error.ts';
import type { Syscalls } from '../../lib/sys/syscalls.ts';
import { netnsPath, type Plan } from './plan.ts';

const CLONE_NEWNET = 0x4000_0000;
const MS_BIND = 4096;
const OWN_NETNS = '/proc/self/ns/net';

function mount(sys: Syscalls, source: string, target: string, kind: string, flags: number): void {
  sys.arena.scope(() => {
    const [from, to, type] = [source, target, kind].map((text) => sys.arena.cstring(text).address);
    check(sys.call(sys.nr.mount, from, to, type, flags, 0), 'mount', target);
  });
}

/** Gives the plugins a /var/lib of their own and makes all namespaces; returns the nodes' descriptors. */
export function makeNodes(sys: Syscalls, { scratch, nodes, pods }: Plan): number[] {
  makeDirs(sys, `${scratch}/lib`, 0o755);
  makeDirs(sys, `${scratch}/netns`, 0o755);
  mount(sys, `${scratch}/lib`, '/var/lib', '', MS_BIND);
  mount(sys, 'none', `${scratch}/netns`, 'tmpfs', 0);
  for (let pod = 0; pod < pods; pod++) {
    check(sys.call(sys.nr.unshare, CLONE_NEWNET), 'make', 'netns');
    createFile(sys, netnsPath(scratch, pod), '', 0o600);
    mount(sys, OWN_NETNS, netnsPath(scratch, pod), '', MS_BIND);
  }
  const made: number[] = [];
  for (let node = 0; node < nodes; node++) {
    check(sys.call(sys.nr.unshare, CLONE_NEWNET), 'make', 'netns');
    const netlink = openNetlink(sys);
    netlink.run(setLink({ name: 'lo', up: true }));
    netlink.close();
    made.push(openFile(sys, OWN_NETNS, O_RDONLY));
  }
  return made;
}

/** Moves the driver into a node. */
export function enterNode(sys: Syscalls, node: number): void {
  check(sys.call(sys.nr.setns, node, CLONE_NEWNET), 'enter', 'node');
}

/**
 * Describes an attachment: the pod's interface, addresses and routes, and the bridge's ports in the current node. Leaves out
 * what differs even between plugins that do the same work (names, MACs, the address).
 */
export function inspectAttachment(sys: Syscalls, scratch: string, pod: number): string[] {
  const netns = openNetns(sys, netnsPath(scratch, pod));
  const inPod = inNetns(sys, netns, () => inspectPod(sys));
  sys.call(sys.nr.close, netns);
  const netlink = openNetlink(sys);
  const links = listLinks(netlink);
  netlink.close();
  const ports = links.filter((link) => link.master !== undefined);
  return [
    ...inPod,
    ...ports.map(({ master, mtu, port }) => {
      const bridge = links.find(({ index }) => index === master)?.name ?? 'none';
      return `port of ${bridge} mtu ${mtu} hairpin ${port?.hairpin === true ? 'on' : 'off'}`;
    }),
  ];
}

function inspectPod(sys: Syscalls): string[] {
  const netlink = openNetlink(sys);
  try {
    const link = listLinks(netlink).find(({ name }) => name === 'eth0');
    if (link === undefined) return ['no eth0'];
    const state = (link.flags & IFF_UP) === 0 ? 'down' : 'up';
    const addresses = listAddresses(netlink, { index: link.index, family: 4 });
    const routes = listRoutes(netlink, { family: 4, table: RT_TABLE_MAIN });
    return [
      `eth0 mtu ${link.mtu} ${state}`,
      ...addresses.map(({ length, broadcast }) => `address /${length} broadcast ${broadcast && formatIp(broadcast)}`),
      ...routes
        .filter(({ protocol }) => protocol !== RTPROT_KERNEL)
        .map(({ destination, gateway }) => `route ${formatPrefix(destination)} via ${gateway && formatIp(gateway)}`)
        .sort(),
    ];
  } finally {
    netlink.close();
  }
}

/** Links of the current node that an ADD made and no DEL removed. */
export function leftoverLinks(sys: Syscalls): string[] {
  const netlink = openNetlink(sys);
  try {
    return listLinks(netlink)
      .filter(({ kind }) => kind === 'veth')
      .map(({ name }) => name);
  } finally {
    netlink.close();
  }
}
