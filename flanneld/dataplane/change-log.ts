// Saying what was done to the kernel: a line of log a peer, with the commands that do the same, or one line when it
// were hundreds; and what somebody else had changed goes to the drift ledger, object by object.

import { breathe } from '../../lib/clock-node.ts';
import type { DriftNotes } from '../health/drift-ledger.ts';
import type { Logger } from '../health/log.ts';
import { describeDrift, foundInstead } from './drift.ts';
import { requestOf } from './requests.ts';
import type { Change, Device } from './state.ts';

/** What became of one key: a peer, or (removed) the name of a leftover. */
export interface Outcome {
  readonly owner: string;
  readonly did: 'added' | 'changed' | 'repaired' | 'removed';
  /** What was sent and taken. */
  readonly changes: readonly Change[];
  /** Whether somebody else had made it necessary. */
  readonly drift: boolean;
}

export interface ReportTools {
  readonly log: Logger;
  readonly drift: DriftNotes | undefined;
}

/** More than this of one kind in one run are one line at `info`, and one each at `debug`. */
const LINES = 100;
/** Reported before other work gets its turn. */
const STEP = 100;

const MESSAGES: Readonly<Record<Outcome['did'], readonly [one: string, many: string]>> = {
  added: ['peer added', 'peers added'],
  changed: ['peer changed', 'peers changed'],
  repaired: ['peer repaired', 'peers repaired'],
  removed: ['leftover removed', 'leftovers removed'],
};

/** Logs the outcomes of one run and notes the drift among them. */
export async function reportOutcomes(outcomes: readonly Outcome[], device: Device, tools: ReportTools): Promise<void> {
  for (const did of ['added', 'changed', 'repaired', 'removed'] as const) {
    const some = outcomes.filter((outcome) => outcome.did === did);
    const many = some.length > LINES;
    if (many) tools.log.info({ dev: device.name, count: some.length }, MESSAGES[did][1]);
    if (!many || tools.log.isLevelEnabled?.('debug') !== false) {
      await reportEach(some, device, tools.log, many ? 'debug' : 'info');
    }
    const drifted = some.filter(({ drift }) => drift);
    if (tools.drift !== undefined) noteDrift(drifted, device, tools.drift, drifted.length > LINES);
  }
}

async function reportEach(
  outcomes: readonly Outcome[],
  device: Device,
  log: Logger,
  level: 'info' | 'debug',
): Promise<void> {
  let reported = 0;
  for (const outcome of outcomes) {
    report(outcome, device, log, level);
    if (++reported % STEP === 0) await breathe();
  }
}

function report({ owner, did, changes }: Outcome, device: Device, log: Logger, level: 'info' | 'debug'): void {
  const facts = {
    ...(did === 'removed' ? { what: owner } : { peer: owner }),
    dev: device.name,
    ...(did === 'repaired' && { was: changes.map(describeDrift).join(', ') }),
    // Asked for only when the line is written.
    get cmd() {
      return changes.map((change) => commandOf(change, device)).join(' && ');
    },
  };
  log[level](facts, MESSAGES[did][0]);
}

function noteDrift(outcomes: readonly Outcome[], device: Device, notes: DriftNotes, asOne: boolean): void {
  const firsts = new Map<Change['kind'], { change: Change; owner: string; count: number }>();
  for (const { owner, changes } of outcomes) {
    for (const change of changes) {
      const first = firsts.get(change.kind);
      if (!asOne) noteOne(change, owner, device, notes, 1);
      else if (first === undefined) firsts.set(change.kind, { change, owner, count: 1 });
      else first.count++;
    }
  }
  for (const { change, owner, count } of firsts.values()) noteOne(change, owner, device, notes, count);
}

function noteOne(change: Change, what: string, device: Device, notes: DriftNotes, count: number): void {
  notes.note({
    object: change.kind,
    place: device.name,
    what,
    was: foundInstead(change),
    cmd: commandOf(change, device),
    ...(count > 1 && { count }),
  });
}

function commandOf(change: Change, device: Device): string {
  const request = requestOf(change, device);
  return request.command?.() ?? request.describe();
}
