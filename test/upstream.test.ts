import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';

const root = new URL('..', import.meta.url);
const [listed = '', leftOut = ''] = readFileSync(new URL('test/UPSTREAM.md', root), 'utf8').split('## Not here');

/** The cells of a table's rows, without the row of titles. */
function rowsOf(text: string): { name: string; cell: string }[] {
  return [...text.matchAll(/^\| (?!case )(.*?) \| (.*) \|$/gm)].map(([, name = '', cell = '']) => ({ name, cell }));
}

/** A cell such as: `file`: “words”, “more words”; `another file`: “words” */
function quotesOf(cell: string): { file: string; words: string }[] {
  return [...cell.matchAll(/`([^`]+)`: ((?:“[^”]+”(?:, )?)+)/g)].flatMap(([, file = '', quotes = '']) =>
    [...quotes.matchAll(/“([^”]+)”/g)].map(([, words = '']) => ({ file, words })),
  );
}

describe('test/UPSTREAM.md', () => {
  test('has rows that each name a test, except for what is left out', () => {
    const rows = rowsOf(listed);
    expect(rows.length).toBeGreaterThan(40);
    expect(rows.filter(({ cell }) => quotesOf(cell).length === 0)).toEqual([]);
    expect(rowsOf(leftOut)).toHaveLength(1);
  });

  test.for(rowsOf(listed).flatMap(({ cell }) => quotesOf(cell)))('$file: $words', ({ file, words }) => {
    const code = readFileSync(new URL(file, root), 'utf8')
      .split('\n')
      .filter((line) => !/^\s*(\/\/|\/?\*)/.test(line));
    expect(code.filter((line) => line.includes(words))).not.toEqual([]);
  });
});
