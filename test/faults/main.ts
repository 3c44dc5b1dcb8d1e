// `npm run test:faults`: what each fault, restart and upgrade costs, in packets lost, with the agent at work.

import { parseArgs } from 'node:util';
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

const USAGE = `npm run test:faults -- [--rounds N] [--only NAME[,NAME…]]
  --rounds N   rounds of each (10)
  --only       ${trials.join(', ')}
`;

export interface Options {
  readonly rounds: number;
  readonly only: readonly string[];
}

/** Returns the exit code: 0 when nothing was over its limit. */
export async function main(argv: readonly string[]): Promise<number> {
  const options = readArguments(argv);
  if (options === undefined) {
    print(USAGE);
    return 0;
  }
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

/** For a signal's handler. */
export async function endLabs(): Promise<void> {
  await endOwnedLabs();
}

/** Undefined when only help is wanted. Throws what is wrong in one line. */
function readArguments(argv: readonly string[]): Options | undefined {
  const { values } = parseArgs({
    args: [...argv],
    options: { rounds: { type: 'string', default: '10' }, only: { type: 'string' }, help: { type: 'boolean' } },
  });
  if (values.help === true) return undefined;
  const rounds = Number(values.rounds);
  if (!Number.isInteger(rounds) || rounds < 1) {
    throw new Error(`--rounds: expected a whole number from 1, got "${values.rounds}"`);
  }
  const only = values.only?.split(',') ?? trials;
  const unknown = only.find((name) => !trials.includes(name));
  if (unknown !== undefined) throw new Error(`--only: no "${unknown}" among ${trials.join(', ')}`);
  return { rounds, only };
}

function print(text: string): void {
  process.stdout.write(text);
}
