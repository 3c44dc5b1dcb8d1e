import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { linkedLibraries } from './linked-libraries.ts';

function compile(...flags: string[]): string {
  const folder = mkdtempSync(join(tmpdir(), 'weft-linked-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const program = join(folder, 'program');
  execFileSync('gcc', ['-x', 'c', '-', ...flags, '-o', program], { input: 'int main(void) { return 0; }' });
  return program;
}

test('a dynamic program has its C library and its loader', () => {
  const libraries = linkedLibraries(compile());
  expect(libraries).toContainEqual(expect.stringMatching(/^\/.*\/libc\.so\.6$/));
  expect(libraries).toContainEqual(expect.stringMatching(/^\/.*\/ld-linux/));
});

test.for([['-static'], ['-static-pie']])('a program linked with %s has none', (flags) => {
  expect(linkedLibraries(compile(...flags))).toEqual([]);
});

test('a missing program is an error, and not a program without libraries', () => {
  expect(() => linkedLibraries('/nowhere/program')).toThrow('ldd /nowhere/program: exit 1');
});
