// `flanneld cleanup`: an inventory of what is Weft's on this node, its removal, and the inventory afterwards. The agent
// does not run meanwhile (live-agent.ts): it would put things back, which the second inventory shows.

import { errorText } from '../../../lib/errors.ts';
import type { CleanupScope, CleanupTools, Leftover } from './leftover.ts';
import { listLeftovers } from './leftovers-on-node.ts';

/** More of one kind are counted only: five thousand routes are no reading. */
const SHOWN_OF_A_KIND = 20;

/** Removes what is Weft's, telling `write` a line at a time; resolves to whether nothing is left that should not be. */
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
      // What another's removal has taken along is no problem: only what is still there afterwards is.
      problems.set(leftover.text, errorText(error));
    }
  }
  const after = await listLeftovers(scope, tools);
  tell('after', after, write);
  const failed = after.filter(({ kept }) => kept === undefined);
  for (const { text } of failed) {
    const why = problems.get(text);
    write(`not removed: ${text}: ${why ?? 'it is there again: is the agent still running?'}`);
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
