import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';

const root = new URL('..', import.meta.url);
const rows = readFileSync(new URL('test/DEFECTS.md', root), 'utf8')
  .split('\n')
  .flatMap((line) => {
    const [, id, file] = /^\| (D\d+) \|.*\| `([^`]+)` \|$/.exec(line) ?? [];
    return id === undefined || file === undefined ? [] : [{ id, file }];
  });

describe('test/DEFECTS.md', () => {
  test('has every number once, in order', () => {
    expect(rows.map(({ id }) => id)).toEqual(Array.from({ length: 30 }, (_, at) => `D${at + 1}`));
  });

  test.for(rows)('$id has a test with its number in $file', ({ id, file }) => {
    const text = readFileSync(new URL(file, root), 'utf8');
    // Matches the name of a test or a case, but not a comment.
    expect(text).toMatch(new RegExp(`^(?!\\s*(//|\\*)).*['"\`]${id}: `, 'm'));
  });
});
