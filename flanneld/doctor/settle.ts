// Decides which findings are told: only those that last, none about what a starting agent is about to make, and each once. Findings
// about peers that only a running agent can know are added to those of the doctor's own probes. Pure functions.

import type { Finding } from '../health/finding.ts';
import { CATALOG, type FindingId } from './catalog.ts';
import type { Draft } from './draft.ts';
import type { View } from './view/view.ts';

/** What both looks saw, as the second saw it. */
export function lasting(first: readonly Draft[], second: readonly Draft[]): Draft[] {
  const before = new Set(first.map(keyOf));
  return second.filter((draft) => before.has(keyOf(draft)));
}

/** One finding of an id and a peer; the first says most. */
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

/** Leaves out what an agent that has just started makes next. */
export function whileStarting({ agent, nowMs }: View, drafts: readonly Draft[]): Draft[] {
  if (agent.state !== 'answers' || agent.report.ready) return [...drafts];
  const isStarting = nowMs - Date.parse(agent.report.startedAt) < STARTING_MS;
  return isStarting ? drafts.filter(({ id }) => !MADE_AT_START.includes(id)) : [...drafts];
}

/** What one look cannot tell, because it needs what the agent has received or measured before. */
const BY_HISTORY: readonly string[] = ['tunnel-one-way', 'checksum-corruption', 'peer-slow', 'peer-agent-down'];
/** What the doctor says of such a peer instead. */
const LESS: readonly FindingId[] = ['tunnel-port-blocked', 'wireguard-no-handshake', 'peer-tunnel-broken'];

/** The doctor's own findings of peers, with those of the running agent that say more. */
export function withHistory(own: readonly Draft[], agents: readonly Finding[]): Draft[] {
  const told = agents.flatMap((finding): Draft[] => (BY_HISTORY.includes(finding.id) ? draftOf(finding) : []));
  // A finding without a peer is about many peers; the doctor and the agent then mean the same ones.
  const vague = new Set(own.filter(({ id }) => LESS.includes(id)).map(({ peer }) => peer));
  // An error that the doctor does not see any more is over, or has turned into what it sees.
  const more = told.filter(({ severity, peer }) => severity !== 'error' || vague.has(peer));
  const explained = new Set(more.filter(({ severity }) => severity === 'error').map(({ peer }) => peer));
  return [...own.filter(({ id, peer }) => !(explained.has(peer) && LESS.includes(id))), ...more];
}

/** None for an id that this version does not know. */
export function draftOf({ id, severity, peer, cause, evidence, fix }: Finding): Draft[] {
  if (!isFindingId(id)) return [];
  return [{ id, severity, ...(peer !== undefined && { peer }), cause, evidence, fix }];
}

function isFindingId(id: string): id is FindingId {
  return Object.hasOwn(CATALOG, id);
}
