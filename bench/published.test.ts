import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { publishedBlock, publishedResult, withPublished } from './published.ts';
import { faultsBlock, withFaults } from './published-faults.ts';
import { readRun } from './run-result.ts';
import { madeUpRun } from './support/made-up.ts';

const repository = fileURLToPath(new URL('../', import.meta.url));

test('the README says what the result it names says', () => {
  const readme = readFileSync(`${repository}README.md`, 'utf8');
  const result = publishedResult(readme) ?? 'no result named';
  expect(readme).toContain(publishedBlock(readRun(`${repository}${result}`), result, 'README.md'));
});

test('the README’s faults are those of the same result', () => {
  const readme = readFileSync(`${repository}README.md`, 'utf8');
  const block = faultsBlock(readRun(`${repository}${publishedResult(readme)}`));
  expect(block.split('\n').length).toBeGreaterThan(10);
  expect(readme).toContain(block);
  expect(withFaults(readme.replace(block, block.replaceAll(/\d/g, '0')), block)).toBe(readme);
});

test('another result takes the place of the one that is there, and nothing else changes', () => {
  const block = publishedBlock(madeUpRun(), 'a.json', 'README.md');
  const text = `before\n${block}\nafter $& $1\n`;
  const other = publishedBlock({ ...madeUpRun(), quick: true }, 'b.json', 'README.md');
  expect(withPublished(text, other)).toBe(`before\n${other}\nafter $& $1\n`);
  expect(publishedResult(withPublished(text, other))).toBe('b.json');
});

test('it says whether others were busy, and of which machine it is', () => {
  const block = publishedBlock(madeUpRun(), 'a.json', 'README.md');
  expect(block).toContain(
    'Measured on 2026-01-02: 2 × Made Up <9000>, Linux 6.1.0. Other programs were busy meanwhile, in cni.',
  );
  const quiet = { ...madeUpRun(), parts: madeUpRun().parts.map((part) => ({ ...part, notes: [] })) };
  expect(publishedBlock(quiet, 'a.json', 'README.md')).not.toContain('busy');
});

test('a document without a place for it is refused', () => {
  expect(() => withPublished('# Weft\n', 'x')).toThrow('no line <!-- npm run bench -- table FILE --into DOCUMENT -->');
});
