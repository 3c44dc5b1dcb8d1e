// Finds out by using them whether the kernel has the features that Weft needs. If permitted this happens in a network namespace of its own
// that ends with the tries. Otherwise each device is made under a name of ours and removed at once, and rules are only checked (`nft
// --check`).

import { spawnSync } from 'node:child_process';
import { errorText } from '../../../lib/errors.ts';
import { parseIp } from '../../../lib/ip.ts';
import { type Netlink, openNetlink } from '../../../lib/netlink/connection.ts';
import { NETLINK_GET_STRICT_CHK, NETLINK_ROUTE, SOL_NETLINK } from '../../../lib/netlink/constants.ts';
import type { NetlinkRequest } from '../../../lib/netlink/request.ts';
import { addBridge } from '../../../lib/rtnetlink/bridge.ts';
import { addIpip } from '../../../lib/rtnetlink/ipip.ts';
import { addLink, deleteLink, setLink } from '../../../lib/rtnetlink/link.ts';
import { addNexthop, deleteNexthop } from '../../../lib/rtnetlink/nexthop.ts';
import { addVeth } from '../../../lib/rtnetlink/veth.ts';
import { addVxlan } from '../../../lib/rtnetlink/vxlan.ts';
import { closeFd } from '../../../lib/sys/file.ts';
import { inNewNetns } from '../../../lib/sys/netns.ts';
import { AF_NETLINK, openSocket, SOCK_RAW, setSocketOption } from '../../../lib/sys/socket.ts';
import { check, SysError } from '../../../lib/sys/sys-error.ts';
import type { Syscalls } from '../../../lib/sys/syscalls.ts';
import { stretched } from '../../cli/time-factor.ts';

export const FEATURES = [
  'vxlan',
  'bridge',
  'veth',
  'wireguard',
  'ipip',
  'nexthop objects',
  'nftables',
  'masquerade',
  'masquerade fully-random',
  'sets that rules fill',
  'connection states',
  'fib expression',
  'strict dumps',
] as const;
export type Feature = (typeof FEATURES)[number];

export interface KernelTries {
  /** Why each feature failed; undefined when it works. A feature that was not tried has no entry. */
  readonly problems: ReadonlyMap<Feature, string | undefined>;
  /** Whether the tries had a namespace of their own. */
  readonly isApart: boolean;
}

const DEVICE = 'weft-try';
const PEER_DEVICE = 'weft-try-peer';
/** The end of the range that Weft reserves; no real cluster has a peer there. */
const NEXTHOP_ID = 0x57ef_ffff;
const NFT_MS = 5000;

/** Rules with each expression that the agent's own rules use. */
const SCRIPTS: Readonly<Partial<Record<Feature, string>>> = {
  nftables: 'chain c { type filter hook forward priority 0; ip saddr 192.0.2.0/24 counter accept; }',
  masquerade: 'chain c { type nat hook postrouting priority 100; ip saddr 192.0.2.0/24 masquerade; }',
  'masquerade fully-random':
    'chain c { type nat hook postrouting priority 100; meta nfproto ipv4 masquerade fully-random; }',
  'sets that rules fill':
    'set s { type ipv4_addr; flags dynamic, timeout; size 64; timeout 1d; }; chain c { type filter hook input priority 0; add @s { ip saddr counter }; }',
  'connection states': 'chain c { type filter hook forward priority 0; ct state established,related accept; }',
  'fib expression': 'chain c { type filter hook prerouting priority 0; fib daddr type local accept; }',
};

/** `backend` is the type in net-conf.json: only its module is loaded for the tries. */
export function tryKernel(sys: Syscalls, random: () => number, backend: string | undefined): KernelTries {
  const context = { random, backend };
  try {
    return inNewNetns(sys, () => ({ problems: tryAll(sys, context, 'apply'), isApart: true }));
  } catch (error) {
    if (!(error instanceof SysError)) throw error;
    return { problems: tryAll(sys, context, 'check'), isApart: false };
  }
}

/** Synchronous throughout, since only this thread is in the namespace. */
function tryAll(
  sys: Syscalls,
  { random, backend }: { readonly random: () => number; readonly backend: string | undefined },
  how: 'apply' | 'check',
): Map<Feature, string | undefined> {
  const netlink = openNetlink(sys);
  try {
    const problems = new Map<Feature, string | undefined>();
    // In a new namespace the loopback device is down, and the kernel then refuses nexthops.
    if (how === 'apply') netlink.execute([setLink({ name: 'lo', up: true })]);
    const link = (feature: Feature, request: NetlinkRequest): void => {
      problems.set(
        feature,
        problemOf(() => tryDevice(netlink, request)),
      );
    };
    // VNI and port are random, so that they do not collide with a device of the node.
    const vxlan = {
      vni: 1 + Math.floor(random() * 0xff_fffe),
      port: 61_001 + Math.floor(random() * 4000),
      learning: false,
    };
    link('vxlan', addVxlan({ name: DEVICE, vxlan }));
    link('bridge', addBridge({ name: DEVICE }));
    link('veth', addVeth({ name: DEVICE, peer: { name: PEER_DEVICE } }));
    if (backend === 'wireguard') link('wireguard', addLink({ name: DEVICE }, 'wireguard'));
    // The kernel refuses a second device with the same local address; no node has this one (RFC 5737).
    if (backend === 'ipip') link('ipip', addIpip({ name: DEVICE }, parseIp('192.0.2.1')));
    problems.set(
      'nexthop objects',
      problemOf(() => tryNexthop(netlink)),
    );
    for (const feature of FEATURES) {
      const script = SCRIPTS[feature];
      if (script !== undefined)
        problems.set(
          feature,
          problemOf(() => tryRules(script, how)),
        );
    }
    problems.set(
      'strict dumps',
      problemOf(() => tryStrictDumps(sys)),
    );
    return problems;
  } finally {
    netlink.close();
  }
}

function problemOf(run: () => void): string | undefined {
  try {
    run();
    return undefined;
  } catch (error) {
    return errorText(error);
  }
}

function tryDevice(netlink: Netlink, request: NetlinkRequest): void {
  netlink.execute([deleteLink({ name: DEVICE })]);
  netlink.run(request);
  netlink.run(deleteLink({ name: DEVICE }));
}

function tryNexthop(netlink: Netlink): void {
  netlink.execute([deleteNexthop(NEXTHOP_ID)]);
  netlink.run(addNexthop({ id: NEXTHOP_ID, blackhole: true }));
  netlink.run(deleteNexthop(NEXTHOP_ID));
}

function tryRules(script: string, how: 'apply' | 'check'): void {
  const args = how === 'apply' ? ['-f', '-'] : ['--check', '-f', '-'];
  const input = `table inet weft_try { ${script}; }\n`;
  const { error, status, stderr } = spawnSync('nft', args, { input, timeout: stretched(NFT_MS), encoding: 'utf8' });
  if (error !== undefined) throw error;
  if (status !== 0) throw new Error(`nft: ${stderr.trim().split('\n')[0] ?? `exit ${status}`}`);
  if (how === 'apply') spawnSync('nft', ['delete', 'table', 'inet', 'weft_try'], { timeout: stretched(NFT_MS) });
}

/** Throws SysError. */
function tryStrictDumps(sys: Syscalls): void {
  const fd = openSocket(sys, AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
  try {
    check(setSocketOption(sys, fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1), 'set', 'NETLINK_GET_STRICT_CHK');
  } finally {
    closeFd(sys, fd);
  }
}
