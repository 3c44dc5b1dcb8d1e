// `npm run suite -- soak`: the long form of test/faults/soak/soak.test.ts.

import { randomInt } from 'node:crypto';
import { appendFileSync } from 'node:fs';
import { endOwnedLabs } from '../../lab/launch.ts';
import { runSoak, type SoakReport } from './soak.ts';

/** As scripts/commands.mjs has them. */
interface Values {
  readonly minutes: string;
  readonly seed?: string;
  readonly events?: string;
}

/** Returns the exit code: 0 when everything ended as it should. */
export async function main(values: Values): Promise<number> {
  const minutes = Number(values.minutes);
  const seed = values.seed === undefined ? randomInt(2 ** 32) : Number(values.seed);
  print(`soak: ${minutes} minutes, seed ${seed}\n`);
  const report = await runSoak({ minutes, seed, onEvent: (text) => note(values.events, text) });
  print(render(report));
  return report.problems.length === 0 ? 0 : 1;
}

/** For a signal's handler. */
export async function endLabs(): Promise<void> {
  await endOwnedLabs();
}

function note(file: string | undefined, text: string): void {
  if (text.startsWith('FAILED')) print(`${text}\n`);
  if (file !== undefined) appendFileSync(file, `${new Date().toISOString()} ${text}\n`);
}

function render({ done, settledMs, pods, memory, descriptors, problems }: SoakReport): string {
  const kinds = Object.entries(done).map(([name, count]) => `${count} ${name}`);
  const { leastMib, mostMib, earlyMib, lateMib, kibPerMinute } = memory;
  const mib = (value: number): string => `${value.toFixed(1)} MiB`;
  return [
    `done         ${kinds.join(', ')}`,
    `settled      ${settledMs.toFixed(0)} ms after the last of them, with ${pods} pods`,
    `memory       ${mib(earlyMib)} early, ${mib(lateMib)} late, ${mib(leastMib)} to ${mib(mostMib)}, ${kibPerMinute.toFixed(0)} KiB a minute`,
    `descriptors  ${descriptors.before} before, ${descriptors.after} after`,
    ...problems.map((problem) => `PROBLEM      ${problem}`),
    problems.length === 0 ? 'passed' : `${problems.length} problems`,
    '',
  ].join('\n');
}

function print(text: string): void {
  process.stdout.write(text);
}
