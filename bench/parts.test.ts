import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { partsNamed } from './parts.ts';

interface KeptRun {
  readonly quick: boolean;
  readonly parts: readonly { readonly name: string; readonly seconds: number }[];
}

const kept: KeptRun = JSON.parse(readFileSync(join(import.meta.dirname, 'results/amd-epyc/result.json'), 'utf8'));

test('the time planned for each part is the time that it took in the kept run, within a factor of two', () => {
  expect(kept.quick).toBe(false);
  expect(kept.parts.length).toBeGreaterThanOrEqual(7);
  const planned = new Map(partsNamed([], false).map(({ name, seconds }) => [name, seconds.full]));
  const wrong = kept.parts.filter(({ name, seconds }) => {
    const plan = planned.get(name) ?? Number.NaN;
    return !(plan / seconds >= 0.5 && plan / seconds <= 2);
  });
  expect(wrong).toEqual([]);
});

test('a part that takes long runs only when it is asked for', () => {
  expect(partsNamed([], false).map(({ name }) => name)).not.toContain('nodes');
  expect(partsNamed(['nodes', 'start'], true).map(({ name }) => name)).toEqual(['nodes', 'start']);
});

test('an unknown part is refused with the names of all parts', () => {
  expect(() => partsNamed(['speed'], false)).toThrow(
    /^no part "speed" among start, cni, .*, nodes, nodes-start, nodes-changes, cluster, backends$/,
  );
});
