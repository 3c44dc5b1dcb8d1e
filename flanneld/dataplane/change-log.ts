// Reports what was changed in the kernel. The log gets one line for each peer with the commands that do the same, or a single line when
// there are hundreds. Repairs of what somebody else had changed are also noted in the drift ledger, object by object.

import { breathe } from '../../lib/clock-node.ts';
import { DRIFT_OBJECTS, type DriftNotes, type DriftObject } from '../health/drift-ledger.ts';
import type { Logger } from '../health/log.ts';
import { isLeftover } from './compare.ts';
import type { Place } from './objects/kind.ts';
import type { Change } from './plan.ts';
import { commandOf } from './send-changes.ts';

/** The result of a run for one owner: a peer, or a leftover. */
export interface Outcome {
  readonly owner: string;
  readonly did: 'added' | 'changed' | 'repaired' | 'removed';
  /** The changes that the kernel accepted. */
  readonly changes: readonly Change[];
  /** Whether a change by somebody else had made it necessary. */
  readonly drift: boolean;
}

export interface ReportTools {
  readonly log: Logger;
  readonly drift: DriftNotes | undefined;
}

/** More outcomes of one kind than this make one line at `info`, and a line for each at `debug`. */
const LINES = 100;
/** After this many outcomes other work gets its turn. */
const STEP = 100;

/** The messages for one outcome and for many, in the order in which they are logged. */
const MESSAGES = {
  added: { one: 'peer added', many: 'peers added' },
  changed: { one: 'peer changed', many: 'peers changed' },
  repaired: { one: 'peer repaired', many: 'peers repaired' },
  removed: { one: 'peer removed', many: 'peers removed' },
  leftover: { one: 'leftover removed', many: 'leftovers removed' },
} as const;
type Group = keyof typeof MESSAGES;
const GROUPS = Object.keys(MESSAGES) as Group[];

function groupOf({ did, owner }: Outcome): Group {
  return did === 'removed' && isLeftover(owner) ? 'leftover' : did;
}

/** What was found instead of the wanted object: `route missing`, `neigh had lladdr 02:…`. */
export function describeDrift(change: Change): string {
  return `${change.kind.name} ${foundInstead(change)}`;
}

function foundInstead({ kind, have, want }: Change): string {
  if (have === undefined) return 'missing';
  return want === undefined ? 'not wanted' : kind.difference(have, want);
}

/** The device a change is made on, for messages. */
export function deviceOf({ kind, want, have }: Change, place: Place): string {
  return kind.deviceOf?.(want, have, place) ?? (place.tunnel ?? place.underlay).name;
}

/** Logs the outcomes of one run and notes the drift among them. */
export async function reportOutcomes(outcomes: readonly Outcome[], place: Place, tools: ReportTools): Promise<void> {
  const byGroup = new Map<Group, Outcome[]>(GROUPS.map((group) => [group, []]));
  for (const outcome of outcomes) byGroup.get(groupOf(outcome))?.push(outcome);
  for (const [group, some] of byGroup) {
    const { one, many } = MESSAGES[group];
    const isMany = some.length > LINES;
    if (isMany) tools.log.info({ dev: (place.tunnel ?? place.underlay).name, count: some.length }, many);
    if (!isMany || tools.log.isLevelEnabled?.('debug') !== false) {
      await reportEach(some, place, tools.log, isMany ? 'debug' : 'info', one);
    }
    const drifted = some.filter(({ drift }) => drift);
    if (tools.drift !== undefined) noteDrift(drifted, place, tools.drift, drifted.length > LINES);
  }
}

async function reportEach(
  outcomes: readonly Outcome[],
  place: Place,
  log: Logger,
  level: 'info' | 'debug',
  message: string,
): Promise<void> {
  let reported = 0;
  for (const outcome of outcomes) {
    log[level](factsOf(outcome, place), message);
    if (++reported % STEP === 0) await breathe();
  }
}

function factsOf({ owner, did, changes }: Outcome, place: Place) {
  const [first] = changes;
  return {
    ...(isLeftover(owner) ? { what: owner } : { peer: owner }),
    dev: first === undefined ? place.underlay.name : deviceOf(first, place),
    ...(did === 'repaired' && { was: changes.map(describeDrift).join(', ') }),
    // A getter, so that the text is made only if the line is written.
    get cmd() {
      return changes.map((change) => commandOf(change, place)).join(' && ');
    },
  };
}

function noteDrift(outcomes: readonly Outcome[], place: Place, notes: DriftNotes, asOne: boolean): void {
  const firsts = new Map<string, { change: Change; owner: string; count: number }>();
  for (const { owner, changes } of outcomes) {
    for (const change of changes) {
      const first = firsts.get(change.kind.name);
      if (!asOne) noteOne(change, owner, place, notes, 1);
      else if (first === undefined) firsts.set(change.kind.name, { change, owner, count: 1 });
      else first.count++;
    }
  }
  for (const { change, owner, count } of firsts.values()) noteOne(change, owner, place, notes, count);
}

function noteOne(change: Change, what: string, place: Place, notes: DriftNotes, count: number): void {
  notes.note({
    object: driftObject(change.kind.name),
    place: deviceOf(change, place),
    what,
    was: foundInstead(change),
    cmd: commandOf(change, place),
    ...(count > 1 && { count }),
  });
}

/** A backend's own kinds are all counted as `peer`, because the metric's labels must be few and known. */
function driftObject(name: string): DriftObject {
  return DRIFT_OBJECTS.find((object) => object === name) ?? 'peer';
}
