// The soak, short in `npm test` and of any length in `npm run suite -- soak`. Every run uses another seed and prints it, so that a failure
// can be repeated.

import { randomInt } from 'node:crypto';
import { appendFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { suiteNumber, suiteOption } from '../../support/suite-options.ts';
import { runSoak, type SoakReport } from './soak.ts';

const minutes = suiteNumber('minutes', 1);
const seed = suiteNumber('seed', randomInt(2 ** 32));
const file = suiteOption('events');
const SHOWN_EVENTS = 20;

test(
  `${minutes} minutes of faults, lease changes and pods at once end in the desired state, with nothing leaked`,
  async () => {
    const last: string[] = [];
    const report = await runSoak({
      minutes,
      seed,
      onEvent(text) {
        last.push(text);
        if (last.length > SHOWN_EVENTS) last.shift();
        if (file !== undefined) appendFileSync(file, `${new Date().toISOString()} ${text}\n`);
      },
    });
    process.stdout.write(render(report));
    expect(report.problems, `seed ${seed}; last ${last.join('\n')}`).toEqual([]);
    expect(
      Object.entries(report.done).filter(([, count]) => count === 0),
      'something was never done',
    ).toEqual([]);
  },
  (minutes + 3) * 60_000,
);

function render({ done, settledMs, pods, memory, descriptors }: SoakReport): string {
  const kinds = Object.entries(done).map(([name, count]) => `${count} ${name}`);
  const { leastMib, mostMib, earlyMib, lateMib, kibPerMinute } = memory;
  const mib = (value: number): string => `${value.toFixed(1)} MiB`;
  return [
    `seed         ${seed}`,
    `done         ${kinds.join(', ')}`,
    `settled      ${settledMs.toFixed(0)} ms after the last of them, with ${pods} pods`,
    `memory       ${mib(earlyMib)} early, ${mib(lateMib)} late, ${mib(leastMib)} to ${mib(mostMib)}, ${kibPerMinute.toFixed(0)} KiB a minute`,
    `descriptors  ${descriptors.before} before, ${descriptors.after} after`,
    '',
  ].join('\n');
}
