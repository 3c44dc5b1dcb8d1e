// Runs nft(8); each call is one transaction or one listing.

import { execProgram } from '../../lib/exec-node.ts';
import { hasTable } from '../../lib/netfilter/nftables.ts';
import type { Netlink } from '../../lib/netlink/connection.ts';
import { stretched } from '../cli/time-factor.ts';
import { unlessLong } from './command-text.ts';
import { TABLE_FAMILIES } from './nft-table.ts';

/** nft as the firewall uses it; a fake stands in for it in unit tests. */
export interface Nft {
  /** Applies a script in one transaction. Rejects with ExecError. */
  apply(script: string): Promise<void>;
  /** Whether the kernel would accept the script. */
  accepts(script: string): Promise<boolean>;
  /** The JSON listing of a table without the elements of its sets; undefined when there is no such table. Rejects with ExecError. */
  list(family: string, table: string): Promise<string | undefined>;
  /** The JSON listing of all chains, without their rules. Rejects with ExecError. */
  listChains(): Promise<string>;
  /** The listing of one chain with the handles of its rules, for people. Rejects with ExecError. */
  listChain(family: string, table: string, chain: string): Promise<string>;
}

const NFT_TIMEOUT_MS = 10_000;

/** The nft program found in PATH. A call that takes longer than `timeoutMs` fails. */
export function nftProgram(signal?: AbortSignal, timeoutMs = NFT_TIMEOUT_MS): Nft {
  const run = async (args: readonly string[], input?: string): Promise<string> => {
    const options = {
      ...(input !== undefined && { input }),
      timeoutMs: stretched(timeoutMs),
      ...(signal && { signal }),
    };
    const { stdout } = await execProgram(['nft', ...args], options);
    return stdout;
  };
  return {
    apply: async (script) => {
      await run(['-f', '-'], script);
    },
    accepts: (script) =>
      run(['--check', '-f', '-'], script).then(
        () => true,
        () => false,
      ),
    list: (family, table) =>
      run(['-j', '-t', 'list', 'table', family, table]).catch((error: unknown) => {
        if (isNoSuchTable(error)) return undefined;
        throw error;
      }),
    listChains: () => run(['-j', 'list', 'chains']),
    listChain: (family, table, chain) => run(['-a', 'list', 'chain', family, table, chain]),
  };
}

/**
 * The same nft, except that the kernel is first asked whether there is such a table: that takes microseconds, while starting nft takes
 * milliseconds.
 */
export function askingKernel(nft: Nft, netfilter: Netlink): Nft {
  const list: Nft['list'] = async (family, name) => {
    const known = TABLE_FAMILIES.find((one) => one === family);
    if (known !== undefined && !hasTable(netfilter, { family: known, name })) return undefined;
    return await nft.list(family, name);
  };
  return { ...nft, list };
}

/** The script as one line for a shell. A long one is cut off, with a hint where to see all of it. */
export function command(script: string): string {
  const lines = script.trim().split('\n');
  return unlessLong(
    `nft '${lines.join('; ')}'`,
    `nft '${lines[0]}; …' (${lines.length} lines, which nft -s list ruleset shows)`,
  );
}

function isNoSuchTable(error: unknown): boolean {
  return error instanceof Error && 'stderr' in error && String(error.stderr).includes('No such file or directory');
}
