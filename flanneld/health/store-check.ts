// The lines of /readyz?verbose about the store of the cluster state. While the agent starts, they say what it waits for. Later they say
// what does not work in the store; this does not make the node unready, because it keeps forwarding.

import type { Check } from './http-server.ts';
import type { StoreTrouble } from './store-troubles.ts';

/** The name of the agent's line about its store. */
export const STORE_CHECK = 'cluster state';

/** How many troubles are spelled out. The others are counted, since a store may fail for thousands of peers at once. */
const SHOWN = 3;

/** The line while the agent starts: `waiting for the lease of this node: own node cannot be read, …`. */
export function waitingFor(step: string, troubles: readonly StoreTrouble[]): string {
  return [`waiting for ${step}`, ...spell(troubles, ({ text }) => text)].join(': ');
}

/** The lines after the start; empty when the store answers. */
export function storeChecks(troubles: readonly StoreTrouble[]): Check[] {
  const [problem] = spell(troubles, ({ text, since }) => `since ${since.toISOString()}: ${text}`);
  return problem === undefined ? [] : [{ name: STORE_CHECK, problem, required: false }];
}

/** Joins the troubles into one text; returns an empty list when there are none. */
function spell(troubles: readonly StoreTrouble[], one: (trouble: StoreTrouble) => string): string[] {
  if (troubles.length === 0) return [];
  const more = troubles.length > SHOWN ? [`and ${troubles.length - SHOWN} more`] : [];
  return [[...troubles.slice(0, SHOWN).map(one), ...more].join('; ')];
}
