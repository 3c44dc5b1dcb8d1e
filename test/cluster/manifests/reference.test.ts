// manifests/REFERENCE.md and the table of findings in manifests/README.md agree with the present tables, and every entry has a
// description.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { CATALOG } from '../../../flanneld/doctor/catalog.ts';
import { withFindings } from '../../../scripts/reference/findings.ts';
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

describe('Troubleshooting in README.md', () => {
  const text = readFileSync(join(manifests, 'README.md'), 'utf8');

  test('is up to date (node scripts/reference.mjs makes it anew)', () => {
    expect(text).toBe(withFindings(text));
  });

  test('leads from a symptom to every finding, and from there to its fix', () => {
    const rows = text.split('\n').filter((line) => /^\| [^|]+ \| `[a-z-]+` \((error|warning|info)\): /.test(line));
    const ids = rows.map((row) => /`([a-z-]+)`/.exec(row.split(/(?<!\\)\|/)[2] ?? '')?.[1]);
    expect(ids.toSorted()).toEqual(Object.keys(CATALOG).toSorted());
  });

  test('is refused where the document has no place for it', () => {
    expect(() => withFindings('# Deploying\n')).toThrow('no "<!-- what doctor finds');
  });
});
