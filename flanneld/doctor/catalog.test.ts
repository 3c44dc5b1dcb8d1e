import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { CATALOG } from './catalog.ts';
import { PATH_CATALOG, PREFLIGHT_CATALOG } from './catalog-more.ts';

const room = import.meta.dirname;
/** Ids that only `doctor path` or `preflight` reports; both report others too. */
const OF_OTHERS = Object.keys({ ...PATH_CATALOG, ...PREFLIGHT_CATALOG });

function sources({ ofChecks } = { ofChecks: false }): string[] {
  const folders = [room, join(room, '../probes'), join(room, '../health')];
  return folders.flatMap((folder) => {
    try {
      return readdirSync(folder, { recursive: true, encoding: 'utf8' })
        .filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts') && !/^(catalog|causes)/.test(name))
        .filter((name) => !ofChecks || !/^(path|preflight|catalog)/.test(name))
        .map((name) => readFileSync(join(folder, name), 'utf8'));
    } catch {
      return [];
    }
  });
}

describe('the catalog of findings', () => {
  const used = new Set(
    sources({ ofChecks: true }).flatMap((text) => [...text.matchAll(/'([a-z]+(?:-[a-z]+)+)'/g)].map(([, id]) => id)),
  );

  test('has no id that the code never reports', () => {
    expect(Object.keys(CATALOG).filter((id) => !used.has(id))).toEqual(OF_OTHERS);
  });

  test('has an id for every finding that the code reports', () => {
    const made = sources().flatMap((text) => [...text.matchAll(/\bid: '([^']+)'/g)].map(([, id]) => id ?? ''));
    expect(made.length).toBeGreaterThan(0);
    expect(made.filter((id) => !(id in CATALOG))).toEqual([]);
  });

  test.for(Object.entries(CATALOG))('describes %s with one line for each text', ([id, { symptom, meaning, fix }]) => {
    expect(id).toMatch(/^[a-z]+(-[a-z]+)+$/);
    for (const text of [symptom, meaning, fix]) expect(text).toMatch(/^[^\n|]{10,}$/);
  });
});
