// The README's table of kernels agrees with the kept results of the suite `kernels`.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { readmeWithTable } from '../scripts/kernels/kept.mjs';

test('the table of kernels is made from the kept results', () => {
  const readme = readFileSync(join(import.meta.dirname, '../README.md'), 'utf8');
  expect(readmeWithTable(readme)).toBe(readme);
  // The control: another text between the marks is noticed.
  expect(readmeWithTable(readme.replace('| WireGuard |', '| WireGuard | works |'))).toBe(readme);
});
