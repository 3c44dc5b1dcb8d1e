// Counts and lists of the kernel that do not come from rtnetlink: connections, neighbours, chains of the packet filters, programs on the
// tunnel's port.

import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { execProgram } from '../../../lib/exec-node.ts';
import type { Netlink } from '../../../lib/netlink/connection.ts';
import { listNeighs } from '../../../lib/rtnetlink/neigh.ts';
import { NUD_NOARP, NUD_PERMANENT } from '../../../lib/rtnetlink/rtnetlink-constants.ts';
import type { Nft } from '../../firewall/nft-program.ts';
import type { Reads } from './reads.ts';

/** How full a kernel table is. */
export interface Fill {
  readonly used: number;
  readonly limit: number;
}

export interface ChainFacts {
  readonly family: string;
  readonly table: string;
  readonly name: string;
}

export interface PortUser {
  readonly pid: number | undefined;
  readonly program: string;
}

export interface TableFacts {
  readonly connections: Fill | undefined;
  readonly neighbours: Fill | undefined;
  /** Chains of nftables and of iptables on nftables; undefined when they cannot be listed. */
  readonly chains: readonly ChainFacts[] | undefined;
  /** The number of rules and dropping policies in legacy iptables; undefined when it is not used or may not be read. */
  readonly legacyRules: number | undefined;
  /** Sockets of programs on the tunnel's UDP port. */
  readonly portUsers: readonly PortUser[];
}

const TIMEOUT_MS = 2000;

export async function tableFacts(
  { netlink, nft }: { readonly netlink: Netlink; readonly nft: Nft },
  port: number | undefined,
  reads: Reads,
): Promise<TableFacts> {
  return {
    connections: fill(number('net/netfilter/nf_conntrack_count'), number('net/netfilter/nf_conntrack_max')),
    neighbours: fill(
      reads.one('the neighbours', () => collectable(netlink)),
      number('net/ipv4/neigh/default/gc_thresh3'),
    ),
    chains: await reads.slow('the chains of nftables', async () => chainsIn(await nft.listChains())),
    legacyRules: await reads.slow('the rules of iptables-legacy', legacyRules),
    portUsers: port === undefined ? [] : (reads.one('the UDP sockets', () => portUsers(port)) ?? []),
  };
}

function fill(used: number | undefined, limit: number | undefined): Fill | undefined {
  return used === undefined || limit === undefined || limit === 0 ? undefined : { used, limit };
}

function number(name: string): number | undefined {
  try {
    return Number(readFileSync(`/proc/sys/${name}`, 'utf8').trim());
  } catch {
    return undefined;
  }
}

/** Permanent entries do not count against the limit. */
function collectable(netlink: Netlink): number {
  const isKept = (state: number): boolean => (state & (NUD_PERMANENT | NUD_NOARP)) !== 0;
  return listNeighs(netlink, { family: 4 }).filter(({ state }) => !isKept(state)).length;
}

function chainsIn(json: string): ChainFacts[] {
  const { nftables } = JSON.parse(json) as { nftables: { chain?: Partial<ChainFacts> }[] };
  return nftables.flatMap(({ chain }) =>
    chain === undefined ? [] : [{ family: String(chain.family), table: String(chain.table), name: String(chain.name) }],
  );
}

/** Its tables exist only after somebody has used them, and listing one by name would make it. */
async function legacyRules(): Promise<number | undefined> {
  try {
    if (readFileSync('/proc/self/net/ip_tables_names', 'utf8').trim() === '') return undefined;
    const { stdout } = await execProgram(['iptables-legacy-save'], { timeoutMs: TIMEOUT_MS });
    return stdout.split('\n').filter((line) => line.startsWith('-A ') || /^:\S+ DROP /.test(line)).length;
  } catch {
    return undefined;
  }
}

/** /proc/net/udp has the local address and port in hexadecimal and the inode of the socket. The kernel's own sockets have none. */
function portUsers(port: number): PortUser[] {
  const inodes = ['udp', 'udp6'].flatMap((name) => inodesOf(`/proc/self/net/${name}`, port));
  return [...new Set(inodes)].map(userOf);
}

function inodesOf(file: string, port: number): string[] {
  const hex = port.toString(16).toUpperCase().padStart(4, '0');
  return readFileSync(file, 'utf8')
    .split('\n')
    .slice(1)
    .flatMap((line) => {
      const words = line.trim().split(/\s+/);
      const inode = words[9] ?? '0';
      return words[1]?.endsWith(`:${hex}`) === true && inode !== '0' ? [inode] : [];
    });
}

function userOf(inode: string): PortUser {
  for (const pid of readdirSync('/proc').filter((name) => /^[0-9]+$/.test(name))) {
    try {
      const isHis = readdirSync(`/proc/${pid}/fd`).some(
        (fd) => readlinkSync(`/proc/${pid}/fd/${fd}`) === `socket:[${inode}]`,
      );
      if (isHis) return { pid: Number(pid), program: readFileSync(`/proc/${pid}/comm`, 'utf8').trim() };
    } catch {
      // it has ended, or may not be read
    }
  }
  return { pid: undefined, program: 'a program that cannot be seen from here' };
}
