// Checks that a node's kernel has exactly the state it should have. The agent's pure function turns the lab's leases into the desired
// state, which is compared with what the kernel reports over netlink.

import { readFile } from 'node:fs/promises';
import { desired } from '../../flanneld/backend/vxlan/desired.ts';
import { readBackendData } from '../../flanneld/backend/vxlan/vxlan-lease.ts';
import { foreignNexthopIds, VXLAN_KINDS, vxlanObjects } from '../../flanneld/backend/vxlan/vxlan-peers.ts';
import { describeDrift } from '../../flanneld/dataplane/change-log.ts';
import { Mirror, nothingWanted } from '../../flanneld/dataplane/mirror.ts';
import { WEFT_PROTOCOL } from '../../flanneld/dataplane/objects/kind.ts';
import { fingerprint, listingFingerprint } from '../../flanneld/firewall/listing.ts';
import { firewallTable, tableName } from '../../flanneld/firewall/nft-table.ts';
import { readLeaseDir } from '../../flanneld/subnet/lease-dir.ts';
import type { Lease, LeaseSnapshot } from '../../flanneld/subnet/manager.ts';
import { errorText } from '../../lib/errors.ts';
import {
  contains,
  formatIp,
  formatPrefix,
  type Ip,
  type IpPrefix,
  overlaps,
  parsePrefix,
  sameIp,
} from '../../lib/ip.ts';
import type { Mac } from '../../lib/mac.ts';
import { type Netlink, openNetlink } from '../../lib/netlink/connection.ts';
import { listAddresses } from '../../lib/rtnetlink/address.ts';
import { getLink, type Link } from '../../lib/rtnetlink/link.ts';
import { listRoutes } from '../../lib/rtnetlink/route.ts';
import { IFF_UP, RT_TABLE_MAIN } from '../../lib/rtnetlink/rtnetlink-constants.ts';
import { closeFd } from '../../lib/sys/file.ts';
import { openKoffiSyscalls } from '../../lib/sys/koffi.ts';
import { inNetns, openNetns } from '../../lib/sys/netns.ts';
import type { Syscalls } from '../../lib/sys/syscalls.ts';
import { UNDERLAY_DEVICE } from '../lab/contract.ts';
import type { Lab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import { type OwnedChange, wholeCompare } from '../support/whole-compare.ts';

export const DEVICE = 'flannel.1';
/** The network in the lab's net-conf.json. */
const network = parsePrefix('10.244.0.0/16');
const VNI = 1;
const PORT = 8472;
const MTU_BYTES = 1450;

/** The lease that a node advertises, which must be readable and complete. */
export interface OwnLease {
  readonly subnet: IpPrefix;
  readonly publicIp: Ip;
  readonly mac: Mac;
}

let shared: Promise<Syscalls> | undefined;

/** Opens the system calls. Node's thread pool must start before this thread first enters a namespace: see lib/sys/netns.ts. */
async function openSyscalls(): Promise<Syscalls> {
  await readFile('/proc/version');
  return openKoffiSyscalls();
}

/** The path of a node's network namespace, for setns. */
export function netnsOf(node: LabNode): string {
  return `/proc/${node.pid}/ns/net`;
}

/** Runs `body` with a netlink socket in the node's namespace. */
export async function withNetlink<T>(node: LabNode, body: (netlink: Netlink) => Promise<T>): Promise<T> {
  shared ??= openSyscalls();
  const sys = await shared;
  const netns = openNetns(sys, netnsOf(node));
  let netlink: Netlink;
  try {
    netlink = inNetns(sys, netns, () => openNetlink(sys));
  } finally {
    closeFd(sys, netns);
  }
  try {
    return await body(netlink);
  } finally {
    netlink.close();
  }
}

export async function ownLease(lab: Lab, node: LabNode): Promise<OwnLease> {
  return ownLeaseIn(await readLeaseDir(lab.leaseFolder), node.name);
}

function ownLeaseIn({ leases }: LeaseSnapshot, name: string): OwnLease {
  const lease: Lease | undefined = leases.get(name);
  const { subnet, publicIp, backendData } = lease ?? {};
  if (subnet === undefined || publicIp === undefined) throw new Error(`${name} has no lease`);
  return { subnet, publicIp, mac: readBackendData(backendData).mac };
}

/** What is wrong with the device, its address, peers and routes, in words; empty when nothing. */
export async function dataPlaneFaults(lab: Lab, node: LabNode): Promise<string[]> {
  const snapshot = await readLeaseDir(lab.leaseFolder);
  const own = ownLeaseIn(snapshot, node.name);
  try {
    return await withNetlink(node, async (netlink) => {
      const link = getLink(netlink, { name: DEVICE });
      if (link === undefined) return [`${DEVICE} missing`];
      const peers = await peerFaults(netlink, link, snapshot, own);
      return [...deviceFaults(netlink, link, own), ...peers, ...strayRoutes(netlink, link, own)];
    });
  } catch (error) {
    // The device was removed between two queries.
    return [errorText(error)];
  }
}

function deviceFaults(netlink: Netlink, link: Link, { subnet, publicIp, mac }: OwnLease): string[] {
  const underlay = getLink(netlink, { name: UNDERLAY_DEVICE });
  const { vxlan } = link;
  const addresses = listAddresses(netlink, { index: link.index, family: 4 }).map(
    (one) => `${formatIp(one.ip)}/${one.length}`,
  );
  const wanted: [string, unknown, unknown][] = [
    ['up', (link.flags & IFF_UP) !== 0, true],
    ['MTU', link.mtu, MTU_BYTES],
    ['MAC', link.mac, mac],
    ['VNI', vxlan?.vni, VNI],
    ['port', vxlan?.port, PORT],
    ['learning', vxlan?.learning, false],
    ['underlay', vxlan?.lowerIndex, underlay?.index],
    ['local', vxlan?.local !== undefined && sameIp(vxlan.local, publicIp), true],
    ['address', addresses.join(), `${formatIp(subnet.ip)}/32`],
  ];
  return wanted
    .filter(([, is, want]) => is !== want)
    .map(([what, is, want]) => `${DEVICE}: ${what} is ${is}, not ${want}`);
}

async function peerFaults(
  netlink: Netlink,
  link: Link,
  { leases, problems }: LeaseSnapshot,
  own: OwnLease,
): Promise<string[]> {
  const underlay = { index: getLink(netlink, { name: UNDERLAY_DEVICE })?.index ?? 0, name: UNDERLAY_DEVICE };
  const place = { family: 4 as const, network, tunnel: { index: link.index, name: DEVICE }, underlay };
  const mirror = new Mirror(VXLAN_KINDS, nothingWanted, () => undefined);
  await mirror.list(netlink, place);
  const config = { family: 4 as const, network, vni: VNI, ...own };
  const wanted = desired(leases, { ...config, foreignNexthopIds: foreignNexthopIds(mirror, place) });
  const changes = wholeCompare(wanted.peers, { kinds: VXLAN_KINDS, objects: vxlanObjects }, place, {
    entries: (kind) => mirror.differences(kind).others,
  });
  const unreadable = [...problems, ...wanted.problems].map(({ key, reason }) => `lease ${key}: ${reason}`);
  return [...unreadable, ...changes.map(describe)];
}

function describe(change: OwnedChange): string {
  const found = change.want === undefined ? `${change.kind.name} left over` : describeDrift(change);
  return `${change.owner}: ${found}`;
}

/**
 * Routes to the pod network that use another device, except the route to the node's own pods; and our own routes on any other
 * device.
 */
function strayRoutes(netlink: Netlink, link: Link, { subnet }: OwnLease): string[] {
  return listRoutes(netlink, { family: 4, table: RT_TABLE_MAIN })
    .filter(({ oif, destination, protocol }) => {
      if (oif === link.index || overlaps(destination, subnet)) return false;
      return protocol === WEFT_PROTOCOL || (destination.length > 0 && contains(network, destination.ip));
    })
    .map(({ destination, protocol }) => `stray route ${formatPrefix(destination)} proto ${protocol}`);
}

/** What is wrong with the firewall; empty when nothing. */
export async function firewallFaults(lab: Lab, node: LabNode): Promise<string[]> {
  const { subnet } = await ownLease(lab, node);
  const { exitCode, stdout, stderr } = await node.exec(['nft', '-j', 'list', 'table', 'ip', tableName(1)]);
  if (exitCode !== 0) return [stderr.trim().split('\n')[0] ?? 'nft failed'];
  const found = listingFingerprint(stdout);
  const expected = [true, false].map((fullyRandom) =>
    fingerprint(
      firewallTable({
        family: 4,
        vni: 1,
        network,
        subnet,
        masquerade: true,
        nonMasquerade: [],
        forward: true,
        fullyRandom,
      }),
    ),
  );
  return expected.includes(found) ? [] : ['firewall rules differ'];
}
