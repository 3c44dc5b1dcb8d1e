// NEEDS.md is made by a run that needs root and a container runtime. This test shows that it was made from the present weft.yml.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { fastPathLosses, losses } from '../image/losses.ts';
import { manifests } from './documents.ts';

test('NEEDS.md has a row for each capability and mount of weft.yml, and no other', () => {
  const tables = readFileSync(join(manifests, 'NEEDS.md'), 'utf8').split(/^## .*$/m);
  const [names, ofFastPath] = tables.map((table) =>
    (table.match(/^\|.*$/gm) ?? []).slice(2).map((row) => row.split('|')[1]?.trim()),
  );
  expect(names).toEqual(['nothing', ...losses.map(({ name }) => name)]);
  expect(ofFastPath).toEqual(fastPathLosses.map(({ name }) => name));
  expect(names).toContain('capability NET_ADMIN');
});
