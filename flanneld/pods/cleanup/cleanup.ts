// `flanneld cleanup`: lists everything that Weft has made on this node, removes it, and lists what is left. No agent may run meanwhile
// (live-agent.ts), because it would restore things; the second list would show that.

import { errorText } from '../../../lib/errors.ts';
import type { CleanupScope, CleanupTools, Leftover } from './leftover.ts';
import { listLeftovers } from './leftovers-on-node.ts';

/** How many things of one kind are listed; more are only counted, because nobody reads thousands of routes. */
const SHOWN_OF_A_KIND = 20;

/** Removes everything that Weft has made, and writes what it does line by line. Resolves to whether nothing unexpected is left. */
export async function cleanUp(
  scope: CleanupScope,
  tools: CleanupTools,
  write: (line: string) => void,
): Promise<boolean> {
  const before = await listLeftovers(scope, tools);
  tell('before', before, write);
  const problems = new Map<string, string>();
  for (const leftover of before) {
    if (leftover.kept !== undefined) continue;
    try {
      await leftover.remove();
    } catch (error) {
      // A failure counts only if the thing still exists at the end: it may have been removed together with another one.
      problems.set(leftover.text, errorText(error));
    }
  }
  const after = await listLeftovers(scope, tools);
  tell('after', after, write);
  const failed = after.filter(({ kept }) => kept === undefined);
  for (const { text } of failed) {
    const why = problems.get(text);
    write(`not removed: ${text}: ${why ?? 'it is there again, perhaps because the agent still runs'}`);
  }
  return failed.length === 0;
}

function tell(when: string, leftovers: readonly Leftover[], write: (line: string) => void): void {
  write(leftovers.length === 0 ? `${when}: nothing` : `${when}:`);
  const kinds = new Map<string, Leftover[]>();
  for (const leftover of leftovers) {
    const kind = leftover.text.slice(0, leftover.text.indexOf(' '));
    kinds.set(kind, [...(kinds.get(kind) ?? []), leftover]);
  }
  for (const [kind, ofKind] of kinds) {
    for (const { text, kept } of ofKind.slice(0, SHOWN_OF_A_KIND)) {
      write(kept === undefined ? `  ${text}` : `  ${text} (stays: ${kept})`);
    }
    const more = ofKind.length - SHOWN_OF_A_KIND;
    if (more > 0) write(`  … and ${more} more of kind ${kind}`);
  }
}
