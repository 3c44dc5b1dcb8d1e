// manifests/REFERENCE.md agrees with the present tables, and every entry in it has a description.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { referenceOf } from '../../../scripts/reference/main.ts';
import { manifests } from './documents.ts';

describe('REFERENCE.md', () => {
  test('is up to date (node scripts/reference.mjs makes it anew)', () => {
    expect(readFileSync(join(manifests, 'REFERENCE.md'), 'utf8')).toBe(referenceOf(manifests));
  });

  test('says of each entry what it accepts and what it does', () => {
    const rows = referenceOf(manifests)
      .split('\n')
      .filter((line) => line.startsWith('| `'));
    expect(rows.length).toBeGreaterThan(100);
    for (const row of rows) {
      const [, key, takes, , help] = row.split(/(?<!\\)\|/).map((text) => text.trim());
      expect([key, takes === '', help === '']).toEqual([key, false, false]);
    }
  });
});
