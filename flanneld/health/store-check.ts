// The lines of /readyz?verbose about the cluster state: what the agent waits for while it starts, and later what it goes
// without. Later that is shown, but the node forwards on, so it does not make it unready.

import type { Check } from './http-server.ts';
import type { StoreTrouble } from './store-troubles.ts';

const STORE_CHECK = 'cluster state';

/** More are counted only: a store may fail for thousands of peers at once. */
const SHOWN = 3;

/** While the agent starts: `waiting for the lease of this node: own node cannot be read, …`. */
export function waitingFor(step: string, troubles: readonly StoreTrouble[]): string {
  return [`waiting for ${step}`, ...spell(troubles, ({ text }) => text)].join(': ');
}

/** Once it has started; none when the store answers. */
export function storeChecks(troubles: readonly StoreTrouble[]): Check[] {
  const [problem] = spell(troubles, ({ text, since }) => `since ${since.toISOString()}: ${text}`);
  return problem === undefined ? [] : [{ name: STORE_CHECK, problem, required: false }];
}

/** One text; none for none. */
function spell(troubles: readonly StoreTrouble[], one: (trouble: StoreTrouble) => string): string[] {
  if (troubles.length === 0) return [];
  const more = troubles.length > SHOWN ? [`and ${troubles.length - SHOWN} more`] : [];
  return [[...troubles.slice(0, SHOWN).map(one), ...more].join('; ')];
}
