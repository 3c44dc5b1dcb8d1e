// Everything on a node that could belong to a pod: veths whose other end is in another namespace, and namespaces that are pinned by a
// mount, with the kernel's number that links the two (network_namespaces(7), RTM_GETNSID). A namespace that only processes hold is found by
// its veth: a namespace without a veth to this node is not a pod on a bridge.

import type { Netlink } from '../netlink/connection.ts';
import { listAddresses } from '../rtnetlink/address.ts';
import { getLink } from '../rtnetlink/link.ts';
import { RT_SCOPE_LINK } from '../rtnetlink/rtnetlink-constants.ts';
import { listVethEnds, netnsIdOf, type VethEnd } from '../rtnetlink/veth-ends.ts';
import { ENOENT, ENOTDIR } from '../sys/errno.ts';
import { closeFd, O_NONBLOCK, O_RDONLY, openFile, readText, statFd, tryOpen } from '../sys/file.ts';
import { OWN_NETNS } from '../sys/netns.ts';
import type { Syscalls } from '../sys/syscalls.ts';
import { isPodPortName } from './names.ts';

/** A veth of the node whose other end is in another namespace. */
export interface Port {
  readonly name: string;
  readonly mac: string | undefined;
  /** The kernel's number of the namespace on the other side; −1 when that namespace is just being removed. */
  readonly netnsId: number;
  readonly isOnBridge: boolean;
  /** Whether it may lead to a pod of this network. Other veths are on another bridge, or have an address of their own. */
  readonly mayBePods: boolean;
}

/** A namespace that a mount keeps alive. */
export interface Pin {
  readonly paths: readonly string[];
  /** Undefined when no device of the node has its other end there. */
  readonly netnsId: number | undefined;
}

export interface NodeView {
  readonly ports: readonly Port[];
  readonly pins: readonly Pin[];
}

const MOUNTINFO = '/proc/self/mountinfo';
const MOUNTINFO_LIMIT_BYTES = 16 * 1024 * 1024;

/** The mounts that this process can see. Throws SysError. */
export function readMounts(sys: Syscalls): string {
  return readText(sys, MOUNTINFO, MOUNTINFO_LIMIT_BYTES);
}

/** Throws NetlinkError and SysError. Then no conclusions may be drawn. */
export function lookAtNode(sys: Syscalls, netlink: Netlink, bridge: string): NodeView {
  // Veths are listed first, because listing them makes the kernel number their namespaces. A namespace that joins later is a pin that
  // nothing explains.
  const ports = listPorts(netlink, bridge);
  return { ports, pins: listPins(sys, netlink) };
}

function listPorts(netlink: Netlink, bridge: string): Port[] {
  const link = getLink(netlink, { name: bridge });
  const master = link?.kind === 'bridge' ? link.index : -1;
  const global = listAddresses(netlink).filter(({ scope }) => scope < RT_SCOPE_LINK);
  const addressed = new Set(global.map(({ index }) => index));
  return listVethEnds(netlink).flatMap((end): Port[] => {
    const { name, mac, other } = end;
    if (other.place === 'node') return [];
    const isOnBridge = end.master === master;
    const { netnsId } = other;
    return [{ name, mac, netnsId, isOnBridge, mayBePods: isOnBridge || isLoosePort(end, addressed) }];
  });
}

/**
 * Whether it is a pod's port that somebody took off the bridge. Not counted: the node's own uplink, which is a veth with an address where
 * the node is a container, and a port of another bridge, which belongs to another network.
 */
function isLoosePort({ index, name, master }: VethEnd, addressed: ReadonlySet<number>): boolean {
  return master === 0 && (isPodPortName(name) || !addressed.has(index));
}

/** The namespaces of mounts that can be reached. What is below another mount belongs to another machine, or to a lab. */
function listPins(sys: Syscalls, netlink: Netlink): Pin[] {
  const own = inodeOf(sys, OWN_NETNS);
  const pins = new Map<number, { paths: string[]; netnsId: number | undefined }>();
  for (const { inode, path } of pinnedNetns(readMounts(sys))) {
    // Docker pins the node's own namespace as `default`.
    if (inode === own) continue;
    const known = pins.get(inode);
    if (known !== undefined) {
      if (!known.paths.includes(path)) known.paths.push(path);
      continue;
    }
    const pin = lookAtPin(sys, netlink, inode, path);
    if (pin !== undefined) pins.set(inode, pin);
  }
  return [...pins.values()];
}

function lookAtPin(sys: Syscalls, netlink: Netlink, inode: number, path: string) {
  const fd = tryOpen(sys, path, O_RDONLY | O_NONBLOCK);
  if (fd === -ENOENT || fd === -ENOTDIR) return undefined;
  // A refused access does not prove that it is absent.
  if (fd < 0) return { paths: [path], netnsId: undefined };
  try {
    return statFd(sys, fd).inode === inode ? { paths: [path], netnsId: netnsIdOf(netlink, fd) } : undefined;
  } finally {
    closeFd(sys, fd);
  }
}

function inodeOf(sys: Syscalls, path: string): number {
  const fd = openFile(sys, path, O_RDONLY);
  try {
    return statFd(sys, fd).inode;
  } finally {
    closeFd(sys, fd);
  }
}

/** Where network namespaces are mounted, and their inodes. Pure. */
export function pinnedNetns(mountinfo: string): { readonly inode: number; readonly path: string }[] {
  return mountinfo.split('\n').flatMap((line) => {
    // 99 25 0:4 net:[4026532] /run/netns/cni-1 rw shared:9 - nsfs nsfs rw
    const [, , , root = '', point = ''] = line.split(' ');
    const inode = /^net:\[(\d+)\]$/.exec(root)?.[1];
    return inode === undefined ? [] : [{ inode: Number(inode), path: unescaped(point) }];
  });
}

/** The kernel writes blanks, line ends and backslashes of a path as three octal digits. */
function unescaped(point: string): string {
  return point.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}
