// `npm run suite -- faults`: counts the packets that each fault, restart and upgrade loses while the agent works.

import { endOwnedLabs } from '../lab/launch.ts';
import { faults } from './faults.ts';
import { restarts } from './restarts.ts';
import { Site } from './site.ts';
import { runFaults, runFight, runRestarts, type Verdicts } from './suite.ts';
import { makeTwoBuilds } from './two-builds.ts';

const FIGHT = 'fight';
export const trials: readonly string[] = [
  ...faults.map(({ name }) => name),
  FIGHT,
  ...restarts.map(({ name }) => name),
];

export interface Options {
  readonly rounds: number;
  readonly only: readonly string[];
}

/** The options that scripts/commands.mjs declares. */
interface Values {
  readonly rounds: string;
  readonly only?: string;
}

/** Returns the exit code: 0 when nothing exceeded its limit. */
export async function main(values: Values): Promise<number> {
  const options = readValues(values);
  const failures: string[] = [];
  const verdicts: Verdicts = { tell: (line) => print(`${line}\n`), fail: (line) => failures.push(line) };
  const startMs = performance.now();
  for (const table of await runTrials(options, verdicts)) print(`\n${table}`);
  print(`\n${((performance.now() - startMs) / 1000).toFixed(0)} s, ${failures.length} over a limit\n`);
  for (const failure of failures) print(`FAILED ${failure}\n`);
  return failures.length === 0 ? 0 : 1;
}

/** Returns the tables, in Markdown. */
export async function runTrials({ rounds, only }: Options, verdicts: Verdicts): Promise<string[]> {
  const builds = makeTwoBuilds();
  try {
    const site = await Site.make(builds.file);
    try {
      const isWanted = ({ name }: { readonly name: string }): boolean => only.includes(name);
      const tables = [await runFaults(site, faults.filter(isWanted), rounds, verdicts)];
      if (only.includes(FIGHT)) tables.push(await runFight(site, verdicts));
      tables.push(await runRestarts(site, restarts.filter(isWanted), builds, rounds, verdicts));
      return tables.filter((table) => table !== '');
    } finally {
      await site.lab.down();
    }
  } finally {
    builds.remove();
  }
}

/** Ends all labs. It is called by a signal handler. */
export async function endLabs(): Promise<void> {
  await endOwnedLabs();
}

/** Reads the options. Throws an error of one line when one is wrong. */
function readValues(values: Values): Options {
  const only = values.only?.split(',') ?? trials;
  const unknown = only.find((name) => !trials.includes(name));
  if (unknown !== undefined) throw new Error(`--only: no "${unknown}" among ${trials.join(', ')}`);
  return { rounds: Number(values.rounds), only };
}

function print(text: string): void {
  process.stdout.write(text);
}
