// Decides which findings are reported: only those that both views show, none about what a starting agent is about to make, and each once.
// Findings about peers that only a running agent can have are added to those of the doctor's own probes. Pure functions.

import type { Finding } from '../health/finding.ts';
import { CATALOG, type FindingId } from './catalog.ts';
import type { Draft } from './draft.ts';
import type { View } from './view/view.ts';

/** The findings of both views, in the form of the second. */
export function lasting(first: readonly Draft[], second: readonly Draft[]): Draft[] {
  const before = new Set(first.map(keyOf));
  return second.filter((draft) => before.has(keyOf(draft)));
}

/** Keeps one finding of each id and peer: the first, which says most. */
export function once(drafts: readonly Draft[]): Draft[] {
  const seen = new Set<string>();
  return drafts.filter((draft) => {
    const isNew = !seen.has(keyOf(draft));
    seen.add(keyOf(draft));
    return isNew;
  });
}

function keyOf({ id, peer }: Draft): string {
  return `${id} ${peer}`;
}

/** How long after its start an agent may still be making what is missing. */
const STARTING_MS = 20_000;
const MADE_AT_START: readonly FindingId[] = [
  'agent-not-ready',
  'device-missing',
  'route-missing',
  'peer-entry-missing',
  'subnet-env-missing',
  'cni-conflist-missing',
  'cni-plugin-missing',
];

/** Leaves out what an agent that has just started is about to make. */
export function whileStarting({ agent, nowMs }: View, drafts: readonly Draft[]): Draft[] {
  if (agent.state !== 'answers' || agent.report.ready) return [...drafts];
  const isStarting = nowMs - Date.parse(agent.report.startedAt) < STARTING_MS;
  return isStarting ? drafts.filter(({ id }) => !MADE_AT_START.includes(id)) : [...drafts];
}

/** Findings that need what the agent has received or measured earlier. */
const BY_HISTORY: readonly string[] = ['tunnel-one-way', 'checksum-corruption', 'peer-slow', 'peer-agent-down'];
/** The findings that the doctor has about such a peer instead. */
const LESS: readonly FindingId[] = ['tunnel-port-blocked', 'wireguard-no-handshake', 'peer-tunnel-broken'];

/** The doctor's own findings about peers, with those of the running agent that say more. */
export function withHistory(own: readonly Draft[], agents: readonly Finding[]): Draft[] {
  const told = agents.flatMap((finding): Draft[] => (BY_HISTORY.includes(finding.id) ? draftOf(finding) : []));
  // A finding without a peer is about many peers, and then the doctor and the agent mean the same ones.
  const vague = new Set(own.filter(({ id }) => LESS.includes(id)).map(({ peer }) => peer));
  // If the doctor no longer sees an error, it is over, or has become the error that the doctor sees.
  const more = told.filter(({ severity, peer }) => severity !== 'error' || vague.has(peer));
  const explained = new Set(more.filter(({ severity }) => severity === 'error').map(({ peer }) => peer));
  return [...own.filter(({ id, peer }) => !(explained.has(peer) && LESS.includes(id))), ...more];
}

/** Empty for an id that this version does not know. */
export function draftOf({ id, severity, peer, cause, evidence, fix }: Finding): Draft[] {
  if (!isFindingId(id)) return [];
  return [{ id, severity, ...(peer !== undefined && { peer }), cause, evidence, fix }];
}

function isFindingId(id: string): id is FindingId {
  return Object.hasOwn(CATALOG, id);
}
