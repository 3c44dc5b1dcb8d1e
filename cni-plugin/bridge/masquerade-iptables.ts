// Masquerading by iptables: each attachment's container has a chain of its own, which one iptables-restore for each family makes, and
// another one removes.

import { formatIp, formatPrefix, type IpPrefix, networkOf } from '../../lib/ip.ts';
import { findProgram, runProgram } from '../programs.ts';
import { failure } from '../protocol/error.ts';
import type { Invocation } from '../protocol/plugin.ts';
import { sha512Hex } from '../sha512.ts';

/** `CNI-` and 24 digits: iptables takes names of 28 characters. */
function chainName(invocation: Invocation): string {
  return `CNI-${sha512Hex(invocation.sys.arena.encode(invocation.name + invocation.containerId)).slice(0, 24)}`;
}

function comment(invocation: Invocation): string {
  // Neither a network's name nor a container's id can contain anything that needs quoting.
  return `-m comment --comment "name: \\"${invocation.name}\\" id: \\"${invocation.containerId}\\""`;
}

function rules(invocation: Invocation, addresses: readonly IpPrefix[]): string[] {
  const chain = chainName(invocation);
  const note = comment(invocation);
  const lines = [`:${chain} - [0:0]`];
  for (const address of addresses) {
    const four = address.ip.family === 4;
    lines.push(
      `-A ${chain} -d ${formatPrefix(networkOf(address))} ${note} -j ACCEPT`,
      `-A ${chain} ! -d ${four ? '224.0.0.0/4' : 'ff00::/8'} ${note} -j MASQUERADE`,
      `-A POSTROUTING -s ${formatIp(address.ip)}/${four ? 32 : 128} ${note} -j ${chain}`,
    );
  }
  return lines;
}

function restore(invocation: Invocation, family: string, lines: readonly string[]): void {
  const name = `ip${family}tables-restore`;
  const path = findProgram(invocation, name);
  if (path === undefined) throw failure(`neither nft nor ${name} is installed`);
  const input = `*nat\n${lines.join('\n')}\nCOMMIT\n`;
  const run = runProgram(invocation, path, ['--noflush', '--wait'], input);
  if (!run.ok) throw failure(`${name}: ${run.problem}`);
}

/** Masquerades the addresses, each family in one transaction. Throws CniError 999. */
export function addIptables(invocation: Invocation, addresses: readonly IpPrefix[]): void {
  for (const family of [4, 6]) {
    const own = addresses.filter((address) => address.ip.family === family);
    if (own.length > 0) restore(invocation, family === 4 ? '' : '6', rules(invocation, own));
  }
}

/** Removes the attachment's chain and what jumps to it; `save` is iptables-save or ip6tables-save. */
export function removeIptables(invocation: Invocation, family: string, save: string): void {
  const listing = runProgram(invocation, save, ['-t', 'nat'], '');
  const chain = chainName(invocation);
  const lines = listing.stdout.split('\n');
  if (!lines.some((line) => line.startsWith(`:${chain} `))) return;
  const jumps = lines.filter((line) => line.startsWith('-A ') && line.endsWith(` -j ${chain}`));
  const deletions = jumps.map((line) => `-D ${line.slice(3)}`);
  restore(invocation, family, [...deletions, `-F ${chain}`, `-X ${chain}`]);
}
