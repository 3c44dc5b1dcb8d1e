// A short run of `npm run suite -- fuzz`, and a test that it reports parsers with planted mistakes.

import { spawnSync } from 'node:child_process';
import { join, resolve } from 'node:path';
import { expect, test } from 'vitest';

const repository = resolve(import.meta.dirname, '../..');

function fuzz(...args: string[]): { status: number | null; stdout: string } {
  const { status, stdout } = spawnSync(
    process.execPath,
    [join(repository, 'scripts/run.mjs'), 'suite', 'fuzz', ...args],
    {
      encoding: 'utf8',
    },
  );
  return { status, stdout };
}

test('5000 spoiled inputs for every parser end in values or in the errors made for them', { timeout: 120_000 }, () => {
  const { status, stdout } = fuzz('--inputs', '5000', '--seed', '11');
  expect(stdout).toMatch(/^5000 inputs for 21 parsers .*, 0 findings$/m);
  expect(status).toBe(0);
});

test.for([
  { planted: 'planted: trusts a length', says: /FINDING seed 1, input \d+, planted: trusts a length: .*out of bound/ },
  { planted: 'planted: keeps memory', says: /FINDING seed 1: ended with .*AddressSanitizer: use-after-poison/s },
])('a parser that has a mistake is found ($planted)', { timeout: 120_000 }, ({ planted, says }) => {
  const { status, stdout } = fuzz('--inputs', '500', '--only', planted);
  expect(stdout).toMatch(says);
  expect(status).toBe(1);
});
