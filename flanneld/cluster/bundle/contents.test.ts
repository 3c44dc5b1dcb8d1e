import { expect, test } from 'vitest';
import { limitFiles, readme } from './contents.ts';

test('a long file is cut off, and files that do not fit are left out and listed', () => {
  const files = [
    { name: 'a', text: 'x'.repeat(30) },
    { name: 'b', text: 'x'.repeat(8) },
    { name: 'c', text: 'x'.repeat(5) },
    { name: 'd', text: 'x' },
  ];
  const { kept, cut } = limitFiles(files, 10, 20);
  expect(kept.map(({ name, text }) => [name, text.length])).toEqual([
    ['a', 10],
    ['b', 8],
    ['d', 1],
  ]);
  expect(cut).toEqual(['a: cut off, 10 of 30 characters', 'c: left out, 5 characters']);
});

test('the README says what the archive contains and which nodes did not answer', () => {
  const facts = { made: new Date(0), version: '0.1.0', nodes: 3, detailed: ['a'], cut: ['x: cut off'] };
  const text = readme({ ...facts, silent: ['b: timeout'], files: [{ name: 'status.txt', text: 'abc' }] });
  expect(text).toContain('Did not answer\n  b: timeout\n');
  expect(text).toContain('Files\n  status.txt (3)\n');
  expect(text).not.toContain('\nIn detail\n\n');
});
