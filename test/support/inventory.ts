// Lists with the usual tools everything that an installation could change on a node, so that a test can compare it before and after.

import type { LabNode } from '../lab/lab-node.ts';

interface IpAddress {
  readonly local: string;
  readonly prefixlen: number;
}

interface IpLink {
  readonly ifname: string;
  readonly mtu: number;
  readonly addr_info: readonly IpAddress[];
}

const FOLDERS = [
  '/etc/cni',
  '/etc/kube-flannel',
  '/opt/cni',
  '/var/lib/cni',
  '/var/lib/weft',
  '/run/flannel',
  '/run/lab/leases',
];
/** Sysctls that are counters and so change by themselves. */
const UNSTEADY_SYSCTL = /^net\.netfilter\.nf_conntrack_count /;

/** Links, addresses, routes, neighbours, routing rules, the rules of both firewalls, sysctls of the network, and files. */
export async function inventory(node: LabNode): Promise<Record<string, readonly string[]>> {
  const lines = async (...argv: readonly string[]): Promise<string[]> =>
    (await node.run(argv)).split('\n').filter((line) => line !== '');
  const links = JSON.parse(await node.run(['ip', '-j', 'address'])) as readonly IpLink[];
  return {
    links: links.map(({ ifname, mtu }) => `${ifname} mtu ${mtu}`),
    addresses: links.flatMap(({ ifname, addr_info: all }) =>
      all.map(({ local, prefixlen }) => `${ifname} ${local}/${prefixlen}`).filter(isSteady),
    ),
    routes: (await lines('ip', 'route', 'show', 'table', 'all')).filter(isSteady),
    routes6: (await lines('ip', '-6', 'route', 'show', 'table', 'all')).filter(isSteady),
    nexthops: await lines('ip', 'nexthop'),
    neighbours: await lines('ip', 'neigh', 'show', 'nud', 'permanent'),
    fdb: (await lines('bridge', 'fdb')).filter((line) => / dst |self permanent/.test(line)).filter(isSteadyFdb),
    rules: [...(await lines('ip', 'rule')), ...(await lines('ip', '-6', 'rule'))],
    nftables: await lines('nft', 'list', 'ruleset'),
    // Reads only tables that exist, because iptables creates a table when it is asked to list it.
    iptables: (await lines('iptables-legacy-save')).filter((line) => /^(\*|:|-A)/.test(line)),
    sysctls: (await lines('sysctl', '-a', '-e', '-r', '^net\\.')).filter((line) => !UNSTEADY_SYSCTL.test(line)),
    files: await filesOf(node),
  };
}

/** False for what the kernel itself adds when duplicate address detection on the underlay ends. */
function isSteady(text: string): boolean {
  return !text.includes('fe80:');
}

/** False for multicast groups that the kernel joins. */
function isSteadyFdb(text: string): boolean {
  return !/^(33:33|01:00:5e|01:80:c2)/.test(text);
}

/**
 * Every file with its checksum and every link with its target, without the runtime's cache of results, which Weft does not clean.
 */
async function filesOf(node: LabNode): Promise<string[]> {
  const script = `find "$@" -path /var/lib/cni/results -prune -o \\( -type f -exec sha256sum {} + \\) -o \\( -type l -printf '%l  %p\\n' \\) -o -type s -print`;
  const { stdout } = await node.exec(['sh', '-c', script, 'find', ...FOLDERS]);
  return stdout.split('\n').filter(Boolean).sort();
}
