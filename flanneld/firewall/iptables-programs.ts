// Finds the iptables executables in PATH, and which of the kernel's two subsystems is in use. As in flannel's image
// (iptables-wrapper), that is the one with the kubelet's chains, else the one of plain `iptables`.

import { accessSync, constants, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { OpError } from '../../lib/errors.ts';
import { execProgram } from '../../lib/exec-node.ts';
import type { Family } from '../../lib/ip.ts';
import { hasTable } from '../../lib/netfilter/nftables.ts';
import type { Netlink } from '../../lib/netlink/connection.ts';
import { stretched } from '../cli/time-factor.ts';
import { iptablesName } from './iptables-table.ts';

export type IptablesVariant = 'nf_tables' | 'legacy';

/** One family's executables of one variant; a fake stands in for it in unit tests. */
export interface Iptables {
  readonly variant: IptablesVariant;
  readonly family: Family;
  /** `iptables-nft`, for logs. */
  readonly name: string;
  /** Lists all tables, or only `table`. Rejects with ExecError. */
  save(table?: 'filter'): Promise<string>;
  /** Applies a script, each table in one transaction. Chains it does not name stay. Rejects with ExecError. */
  restore(script: string): Promise<void>;
  /** Whether the kernel would accept the script. */
  accepts(script: string): Promise<boolean>;
}

export interface FoundIptables {
  /** All variants that were found. */
  readonly all: readonly Iptables[];
  /** The name without a variant, `iptables`; undefined where there is no such program. */
  readonly plain: string | undefined;
  /** The names that were searched for. */
  readonly lookedFor: readonly string[];
}

/** The variant to write to. */
export interface ChosenIptables {
  readonly iptables: Iptables;
  /** Why this one was chosen. */
  readonly why: string;
}

/** Finds the executables of a family. */
export type FindIptables = (family: Family) => Promise<FoundIptables>;

const TIMEOUT_MS = 10_000;
/** How long to wait for the lock of legacy iptables, in seconds; shorter than the timeout. */
const LOCK_SEC = 5;
/** capability.h: CAP_NET_RAW. */
const NET_RAW = 1n << 13n;
const KUBELET_CHAINS = /^:KUBE-(IPTABLES-HINT|KUBELET-CANARY) /m;

/** Looks in the folders of `path`, as execvp(3) does. */
export function iptablesFinder(path: string): FindIptables {
  return (family) => findIptables(family, path);
}

/** The tables that iptables can have. */
const TABLES = ['filter', 'nat', 'mangle', 'raw', 'security'];

/**
 * The same programs, except that the kernel is first asked whether iptables on nf_tables has a table: that takes microseconds, while
 * starting the program takes milliseconds.
 */
export function askingKernelForTables(find: FindIptables, netfilter: Netlink): FindIptables {
  return async (family) => {
    const found = await find(family);
    const hasAny = (names: readonly string[]): boolean =>
      names.some((name) => hasTable(netfilter, { family: family === 4 ? 'ip' : 'ip6', name }));
    const asking = (one: Iptables): Iptables => ({
      ...one,
      save: async (table) => (hasAny(table === undefined ? TABLES : [table]) ? await one.save(table) : ''),
    });
    return { ...found, all: found.all.map((one) => (one.variant === 'nf_tables' ? asking(one) : one)) };
  };
}

async function findIptables(family: Family, path: string): Promise<FoundIptables> {
  const plain = iptablesName(family);
  const bases = [`${plain}-nft`, `${plain}-legacy`, plain];
  const lookedFor = bases.flatMap((base) => [`${base}-save`, `${base}-restore`]);
  const here = new Set(lookedFor.filter((name) => isInPath(name, path)));
  const [nft, legacy, other] = bases.map((base) => here.has(`${base}-save`) && here.has(`${base}-restore`));
  const all: Iptables[] = [];
  if (nft === true) all.push(program(`${plain}-nft`, 'nf_tables', family));
  if (legacy === true) all.push(program(`${plain}-legacy`, 'legacy', family));
  // Where both are found, the plain one is one of them, so it need not be started to find out which.
  if (other === true && all.length < 2) {
    const variant = await variantOf(plain);
    if (variant !== undefined && !all.some((one) => one.variant === variant)) {
      all.push(program(plain, variant, family));
    }
  }
  return { all, plain: other === true ? plain : undefined, lookedFor };
}

/**
 * Chooses the variant to write to; reads the rules where there are two. `path` is for the error: rejects with OpError where there is none.
 */
export async function chooseIptables({ all, plain, lookedFor }: FoundIptables, path: string): Promise<ChosenIptables> {
  const [first, second] = all;
  if (first === undefined) {
    const detail = `none of ${lookedFor.join(', ')} is in PATH (${path}); install iptables, or set EnableNFTables to true`;
    throw new OpError({ subsystem: 'firewall', op: 'find', object: 'iptables', code: 'ENOENT', detail });
  }
  if (second === undefined) return { iptables: first, why: 'the only one in PATH' };
  for (const each of all) {
    if (isIdle(each) || isOutOfReach(each)) continue;
    if (KUBELET_CHAINS.test(await each.save())) return { iptables: each, why: "it has the kubelet's chains" };
  }
  const plainVariant = plain === undefined ? undefined : await variantOf(plain);
  const same = all.find(({ variant }) => variant === plainVariant);
  return same === undefined ? { iptables: first, why: 'the newer one' } : { iptables: same, why: `${plain} is that` };
}

/** Whether legacy iptables has no tables. It makes a table when it is first used, so listing one by name would make it. */
export function isIdle({ variant, family }: Pick<Iptables, 'variant' | 'family'>): boolean {
  if (variant !== 'legacy') return false;
  try {
    return readFileSync(`/proc/self/net/ip${family === 4 ? '' : '6'}_tables_names`, 'utf8').trim() === '';
  } catch {
    return true;
  }
}

/**
 * Legacy iptables asks the kernel over a raw socket, which needs the capability NET_RAW; iptables on nf_tables does not. The
 * manifests do not give the agent NET_RAW.
 */
export function isOutOfReach({ variant }: Pick<Iptables, 'variant'>): boolean {
  if (variant !== 'legacy') return false;
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
  return effective !== undefined && (BigInt(`0x${effective}`) & NET_RAW) === 0n;
}

function isInPath(name: string, path: string): boolean {
  return path.split(':').some((folder) => {
    try {
      const file = join(folder || '.', name);
      accessSync(file, constants.X_OK);
      return statSync(file).isFile();
    } catch {
      return false;
    }
  });
}

/** `iptables-save v1.8.9 (nf_tables)`; versions before 1.8 name no variant, and are legacy. */
async function variantOf(base: string): Promise<IptablesVariant | undefined> {
  try {
    const { stdout } = await execProgram([`${base}-save`, '--version'], { timeoutMs: stretched(TIMEOUT_MS) });
    return stdout.includes('nf_tables') ? 'nf_tables' : 'legacy';
  } catch {
    return undefined; // it cannot run here
  }
}

function program(name: string, variant: IptablesVariant, family: Family): Iptables {
  const run = async (tool: 'save' | 'restore', args: readonly string[], input = ''): Promise<string> => {
    const { stdout } = await execProgram([`${name}-${tool}`, ...args], { input, timeoutMs: stretched(TIMEOUT_MS) });
    return stdout;
  };
  return {
    name,
    variant,
    family,
    save: (table) => run('save', table === undefined || variant === 'legacy' ? [] : ['-t', table]),
    restore: async (script) => {
      await run('restore', ['--noflush', '--wait', String(stretched(LOCK_SEC))], script);
    },
    accepts: (script) =>
      run('restore', ['--noflush', '--test', '--wait', String(stretched(LOCK_SEC))], script).then(
        () => true,
        () => false,
      ),
  };
}
