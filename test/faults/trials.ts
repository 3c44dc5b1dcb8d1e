// Runs the three kinds of trial, judges each, and makes the rows of the tables.

import { errorText } from '../../lib/errors.ts';
import { type Fault, faults } from './faults.ts';
import { type Fight, fight, judgeFight } from './fight.ts';
import { markdownTable, median, worst } from './report.ts';
import { checkWitnesses, type Restart, type RestartRound, restartRound, restarts } from './restarts.ts';
import { aloneRounds, controlRound, faultRound, type Round, type Rounds, repeatRounds } from './rounds.ts';
import { Site } from './site.ts';
import { makeTwoBuilds, type TwoBuilds } from './two-builds.ts';

export const FIGHT = 'fight';

/** Receives results as they come in. */
export interface Verdicts {
  /** Reports in one line what was just measured. */
  tell(line: string): void;
  /** Reports that something exceeded its limit. */
  fail(line: string): void;
  /** Receives the rounds themselves, which have more details than the table. */
  measured?(measured: Measured): void;
}

export interface Measured {
  readonly name: string;
  readonly what: string;
  /** The most packets that a round may lose. */
  readonly limit: number;
  readonly rounds: readonly Round[];
}

/** Every trial: the faults, the fight, and the restarts. */
export const trials: readonly string[] = [
  ...faults.map(({ name }) => name),
  FIGHT,
  ...restarts.map(({ name }) => name),
];

/** Runs every trial and resolves when all are done; the results go to `to`. */
export async function runTrials(count: number, to: Verdicts): Promise<void> {
  const builds = makeTwoBuilds();
  try {
    const site = await Site.make(builds.file);
    try {
      for (const fault of faults) await runFault(site, fault, count, to);
      await runFight(site, to);
      await checkWitnesses(site);
      for (const restart of restarts) await runRestart(site, restart, builds, count, to);
    } finally {
      await site.lab.down();
    }
  } finally {
    builds.remove();
  }
}

export function faultTable(rows: readonly string[][]): string {
  const header = ['fault', 'what', 'lost, median', 'worst', 'limit', 'healed ms, median', 'worst', 'rounds'];
  return markdownTable([...header, 'repeated', 'lost with no agent'], rows);
}

/** Returns the fault's row. */
export async function runFault(site: Site, fault: Fault, count: number, to: Verdicts): Promise<string[]> {
  const { name, limit } = fault;
  const what = `\`${fault.what}\``;
  try {
    const outcome = await repeatRounds(count, () => faultRound(site, fault));
    judgeLosses(fault, outcome, to);
    to.measured?.({ name, what: fault.what, limit, rounds: outcome.rounds });
    const control = fault.control ? await runControl(site, fault, to) : await runAlone(site, fault, count);
    to.tell(`${name}: lost ${lossesOf(outcome).join(' ')}; repeated ${outcome.repeated}; no agent: ${control}`);
    return [name, what, ...lossCells(outcome, limit), control];
  } catch (error) {
    to.fail(`${name}: ${errorText(error)}`);
    return [name, what, 'failed'];
  }
}

function judgeLosses({ name, limit }: Fault, outcome: Rounds<Round>, to: Verdicts): void {
  const lost = worst(lossesOf(outcome));
  if (lost > limit) to.fail(`${name}: ${lost} packets lost, limit ${limit}`);
}

/** Runs the control: without an agent, the fault must lose every packet. */
async function runControl(site: Site, fault: Fault, to: Verdicts): Promise<string> {
  const { sent, received } = await controlRound(site, fault);
  if (received > 0 || sent === 0) {
    to.fail(`${fault.name}: with no agent ${received} of ${sent} packets arrived, expected none`);
  }
  return `${sent - received} of ${sent}`;
}

async function runAlone(site: Site, fault: Fault, count: number): Promise<string> {
  const lost = lossesOf(await aloneRounds(site, fault, count));
  return `median ${median(lost)}, worst ${worst(lost)}`;
}

export function restartTable(rows: readonly string[][]): string {
  const header = ['agent', 'what', 'lost, median', 'worst', 'limit', 'right after ms, median', 'worst', 'rounds'];
  return markdownTable([...header, 'repeated', 'objects removed'], rows);
}

/** Returns the restart's row. Call checkWitnesses first. */
export async function runRestart(
  site: Site,
  restart: Restart,
  builds: TwoBuilds,
  count: number,
  to: Verdicts,
): Promise<string[]> {
  const { name, what } = restart;
  try {
    const outcome = await repeatRounds(count, () => restartRound(site, builds, restart));
    const removed = outcome.rounds.flatMap((round) => round.removed);
    judgeRestart(name, outcome, removed, to);
    to.measured?.({ name, what, limit: 0, rounds: outcome.rounds });
    const changed = outcome.rounds.reduce((sum, round) => sum + round.changed, 0);
    to.tell(`${name}: lost ${lossesOf(outcome).join(' ')}; ${removed.length} removed, ${changed} changed`);
    return [name, what, ...lossCells(outcome, 0), String(removed.length)];
  } catch (error) {
    to.fail(`${name}: ${errorText(error)}`);
    return [name, what, 'failed'];
  }
}

function judgeRestart(name: string, outcome: Rounds<RestartRound>, removed: readonly string[], to: Verdicts): void {
  const lost = worst(lossesOf(outcome));
  if (lost > 0) to.fail(`${name}: ${lost} packets lost, limit 0`);
  for (const line of removed) to.fail(`${name}: was removed: ${line}`);
}

export async function runFight(site: Site, to: Verdicts): Promise<string> {
  try {
    const result = await fight(site);
    for (const wrong of judgeFight(result)) to.fail(`fight: ${wrong}`);
    return fightTable(result);
  } catch (error) {
    to.fail(`fight: ${errorText(error)}`);
    return '';
  }
}

function fightTable({ rewrites, repairs, cpuPercent, rival, restoredMs }: Fight): string {
  const header = ['fight', 'rewritten', 'repaired', 'CPU of the agent', 'right again ms', 'the log names'];
  const cells = [rewrites, repairs, `${cpuPercent.toFixed(1)} %`, restoredMs.toFixed(0), `\`${rival}\``];
  return markdownTable(header, [['route rewritten every 100 ms', ...cells.map(String)]]);
}

function lossesOf({ rounds }: Rounds<Round>): number[] {
  return rounds.map(({ lost }) => lost);
}

function lossCells(outcome: Rounds<Round>, limit: number): string[] {
  const healed = outcome.rounds.map(({ healedMs }) => healedMs);
  const lost = lossesOf(outcome);
  return [
    String(median(lost)),
    String(worst(lost)),
    String(limit),
    median(healed).toFixed(0),
    worst(healed).toFixed(0),
    String(outcome.rounds.length),
    String(outcome.repeated),
  ];
}
