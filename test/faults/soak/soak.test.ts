// The short form of `npm run suite -- soak`: another seed each time, printed, so that a failure can be played again.

import { randomInt } from 'node:crypto';
import { expect, test } from 'vitest';
import { runSoak } from './soak.ts';

const MINUTES = 3;

test(
  'three minutes of faults, lease changes and pods at once end in the desired state, with nothing leaked',
  async () => {
    const seed = randomInt(2 ** 32);
    const events: string[] = [];
    const { problems } = await runSoak({ minutes: MINUTES, seed, onEvent: (text) => events.push(text) });
    expect(problems, `seed ${seed}; last ${events.slice(-20).join('\n')}`).toEqual([]);
  },
  (MINUTES + 3) * 60_000,
);
