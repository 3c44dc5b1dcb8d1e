// nftables by `nft -f -`: each call is one transaction, and rules are found by their comments.

import { findProgram, runProgram } from './programs.ts';
import { failure } from './protocol/error.ts';
import type { Invocation } from './protocol/plugin.ts';

/** Comments are cut to what the kernel stores. */
const COMMENT_LIMIT = 128;

/** Makes a text safe inside a quoted nft string, whatever an interface's name contains. */
export function nftComment(text: string): string {
  let safe = '';
  for (const character of text) safe += /^[A-Za-z0-9 _.:,@=-]$/.test(character) ? character : '_';
  return safe.slice(0, COMMENT_LIMIT);
}

export function findNft(invocation: Invocation): string | undefined {
  return findProgram(invocation, 'nft');
}

/** Applies all statements or none. Throws CniError 999 with nft's text. */
export function applyNft(invocation: Invocation, nft: string, statements: readonly string[]): void {
  const run = runProgram(invocation, nft, ['-f', '-'], `${statements.join('\n')}\n`);
  if (!run.ok) throw failure(`nft: ${run.problem}`);
}

/** The handles of a chain's rules whose comment begins with `prefix`; none when there is no such chain. */
export function ruleHandles(invocation: Invocation, nft: string, chain: string, prefix: string): number[] {
  const listing = runProgram(invocation, nft, ['-a', 'list', 'chain', ...chain.split(' ')], '');
  if (!listing.ok) return [];
  const handles: number[] = [];
  for (const line of listing.stdout.split('\n')) {
    const handle = line.lastIndexOf('# handle ');
    if (handle >= 0 && line.includes(`comment "${prefix}`)) handles.push(Number(line.slice(handle + 9)));
  }
  return handles;
}

/** Deletes the rules of a chain whose comment begins with `prefix`; it is a success if one goes meanwhile. */
export function deleteRules(invocation: Invocation, nft: string, chain: string, prefix: string): void {
  const deletions = (): string[] =>
    ruleHandles(invocation, nft, chain, prefix).map((handle) => `delete rule ${chain} handle ${handle}`);
  const first = deletions();
  if (first.length === 0) return;
  const run = runProgram(invocation, nft, ['-f', '-'], `${first.join('\n')}\n`);
  if (run.ok) return;
  const rest = deletions();
  if (rest.length > 0) applyNft(invocation, nft, rest);
}
