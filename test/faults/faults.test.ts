// What each fault, restart and upgrade costs a flow of a thousand packets a second: `npm run suite -- faults`. The tables are printed
// at the end.

import { afterAll, beforeAll, expect, test } from 'vitest';
import { suiteNumber, suiteOption } from '../support/suite-options.ts';
import { faults } from './faults.ts';
import { checkWitnesses, restarts } from './restarts.ts';
import { Site } from './site.ts';
import { FIGHT, faultTable, restartTable, runFault, runFight, runRestart, trials, type Verdicts } from './trials.ts';
import { makeTwoBuilds, type TwoBuilds } from './two-builds.ts';

const rounds = suiteNumber('rounds', 10);
const only = suiteOption('only')?.split(',') ?? trials;
const unknown = only.find((name) => !trials.includes(name));
if (unknown !== undefined) throw new Error(`--only: no "${unknown}" among ${trials.join(', ')}`);
const isWanted = ({ name }: { readonly name: string }): boolean => only.includes(name);
const timeout = 1_800_000;

let builds: TwoBuilds;
let site: Site;
const tables = { faults: [] as string[][], fight: [] as string[], restarts: [] as string[][] };

beforeAll(async () => {
  builds = makeTwoBuilds();
  site = await Site.make(builds.file);
}, 120_000);

afterAll(async () => {
  await site.lab.down();
  builds.remove();
  const texts = [
    ...(tables.faults.length > 0 ? [faultTable(tables.faults)] : []),
    ...tables.fight,
    ...(tables.restarts.length > 0 ? [restartTable(tables.restarts)] : []),
  ];
  process.stdout.write(texts.join('\n'));
});

/** Fails the running test with everything that exceeded its limit. */
async function judged<T>(run: (to: Verdicts) => Promise<T>): Promise<T> {
  const failures: string[] = [];
  const result = await run({
    tell: (line) => process.stdout.write(`${line}\n`),
    fail: (line) => failures.push(line),
  });
  expect(failures).toEqual([]);
  return result;
}

test.for(faults.filter(isWanted))('a flow survives: $name', { timeout }, async (fault) => {
  tables.faults.push(await judged((to) => runFault(site, fault, rounds, to)));
});

test.runIf(only.includes(FIGHT))('a fight over a route costs little and names the rival', { timeout }, async () => {
  tables.fight.push(await judged((to) => runFight(site, to)));
});

test.for(restarts.filter(isWanted))('a flow loses nothing when the agent is $name', { timeout }, async (restart) => {
  await checkWitnesses(site);
  tables.restarts.push(await judged((to) => runRestart(site, restart, builds, rounds, to)));
});
