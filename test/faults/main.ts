// `npm run test:faults`: what each fault costs, in packets lost, with the agent at work.

import { parseArgs } from 'node:util';
import { errorText } from '../../lib/errors.ts';
import { endOwnedLabs } from '../lab/launch.ts';
import { type Fault, faults } from './faults.ts';
import { markdownTable, median, worst } from './report.ts';
import { type Control, controlRound, faultRound, type Rounds, repeatRounds } from './rounds.ts';
import { Site } from './site.ts';

const USAGE = `npm run test:faults -- [--rounds N] [--only NAME[,NAME…]]
  --rounds N   rounds of each fault (10)
  --only       ${faults.map(({ name }) => name).join(', ')}
`;

/** Returns the exit code: 0 when nothing was over its limit. */
export async function main(argv: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...argv],
    options: { rounds: { type: 'string', default: '10' }, only: { type: 'string' }, help: { type: 'boolean' } },
  });
  if (values.help === true) {
    print(USAGE);
    return 0;
  }
  const rounds = Number(values.rounds);
  if (!Number.isInteger(rounds) || rounds < 1)
    throw new Error(`--rounds: expected a whole number, got "${values.rounds}"`);
  const names = values.only?.split(',');
  const wanted = faults.filter(({ name }) => names?.includes(name) ?? true);
  const failures: string[] = [];
  const site = await Site.make();
  try {
    const rows = [];
    for (const fault of wanted) rows.push(await runFault(site, fault, rounds, failures));
    print(`\n${markdownTable(HEADER, rows)}`);
  } finally {
    await site.lab.down();
  }
  for (const failure of failures) print(`FAILED ${failure}\n`);
  return failures.length === 0 ? 0 : 1;
}

/** For a signal's handler. */
export async function endLabs(): Promise<void> {
  await endOwnedLabs();
}

const HEADER = [
  'fault',
  'lost, median',
  'worst',
  'limit',
  'healed ms, median',
  'worst',
  'rounds',
  'repeated',
  'with no agent',
];

async function runFault(site: Site, fault: Fault, count: number, failures: string[]): Promise<string[]> {
  const startMs = performance.now();
  try {
    const outcome = await repeatRounds(count, () => faultRound(site, fault));
    const control = fault.control ? await controlRound(site, fault) : undefined;
    judge(fault, outcome, control, failures);
    const row = rowOf(fault, outcome, control);
    print(
      `${fault.name}: ${row.slice(1).join(' ')} (${((performance.now() - startMs) / 1000).toFixed(0)} s; lost ${outcome.rounds.map(({ lost }) => lost).join(' ')})\n`,
    );
    return row;
  } catch (error) {
    failures.push(`${fault.name}: ${errorText(error)}`);
    print(`${fault.name}: ${errorText(error)}\n`);
    return [fault.name, '–', '–', String(fault.limit), '–', '–', '0', '–', '–'];
  }
}

function judge({ name, limit }: Fault, { rounds }: Rounds, control: Control | undefined, failures: string[]): void {
  const lost = worst(rounds.map((round) => round.lost));
  if (lost > limit) failures.push(`${name}: ${lost} packets lost, limit ${limit}`);
  if (control !== undefined && (control.received > 0 || control.sent === 0)) {
    failures.push(`${name}: with no agent ${control.received} of ${control.sent} packets arrived, expected none`);
  }
}

function rowOf({ name, limit }: Fault, { rounds, repeated }: Rounds, control: Control | undefined): string[] {
  const lost = rounds.map((round) => round.lost);
  const healed = rounds.map((round) => round.healedMs);
  const alone =
    control === undefined ? 'kernel heals it' : `${control.sent - control.received} of ${control.sent} lost`;
  return [
    name,
    String(median(lost)),
    String(worst(lost)),
    String(limit),
    median(healed).toFixed(0),
    worst(healed).toFixed(0),
    String(rounds.length),
    String(repeated),
    alone,
  ];
}

function print(text: string): void {
  process.stdout.write(text);
}
