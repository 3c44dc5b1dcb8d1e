// Names the cause once: a finding that is only a consequence of another one is taken out, and told in the evidence of its cause.

import type { Draft } from './draft.ts';

/** The ids that follow from an id, on the same node. */
const FOLLOWS: Readonly<Record<string, readonly string[]>> = {};

/** How many consequences are named; the rest are counted. */
const NAMED = 5;

/** Pure. The order of the findings stays. */
export function causesOnly(drafts: readonly Draft[]): Draft[] {
  const swallowed = new Map<Draft, Draft[]>();
  const kept = drafts.filter((draft) => {
    const cause = drafts.find((other) => other !== draft && FOLLOWS[other.id]?.includes(draft.id) === true);
    if (cause !== undefined) swallowed.set(cause, [...(swallowed.get(cause) ?? []), draft]);
    return cause === undefined;
  });
  return kept.map((draft) => withConsequences(draft, swallowed.get(draft) ?? []));
}

function withConsequences(draft: Draft, consequences: readonly Draft[]): Draft {
  if (consequences.length === 0) return draft;
  const names = [...new Set(consequences.map(({ id, peer }) => (peer === undefined ? id : `${peer} (${id})`)))];
  const more = names.length > NAMED ? ` and ${names.length - NAMED} more` : '';
  return { ...draft, evidence: `${draft.evidence}; because of it: ${names.slice(0, NAMED).join(', ')}${more}` };
}
