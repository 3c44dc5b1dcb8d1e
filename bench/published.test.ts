import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { type KeptRun, publishedBlock, publishedResults, withPublished } from './published.ts';
import { faultsBlock, withFaults } from './published-faults.ts';
import type { RatioOfFigures } from './result.ts';
import { type RunResult, readRun } from './run-result.ts';
import { madeUpRun } from './support/made-up.ts';

const repository = fileURLToPath(new URL('../', import.meta.url));

const keptRun = (file: string): KeptRun => ({ file, run: readRun(`${repository}${file}`) });

test('the README’s figures are those of the results that it names, and these are of more than one machine', () => {
  const readme = readFileSync(`${repository}README.md`, 'utf8');
  const [first = 'no result named', ...others] = publishedResults(readme);
  const runs = [keptRun(first), ...others.map(keptRun)] as const;
  expect(new Set(runs.map(({ run }) => run.machine.cpu)).size).toBeGreaterThan(1);
  expect(readme).toContain(publishedBlock('README.md', ...runs));
});

test('the README’s faults are those of the same result', () => {
  const readme = readFileSync(`${repository}README.md`, 'utf8');
  const block = faultsBlock(readRun(`${repository}${publishedResults(readme)[0]}`));
  expect(block.split('\n').length).toBeGreaterThan(10);
  expect(readme).toContain(block);
  expect(withFaults(readme.replace(block, block.replaceAll(/\d/g, '0')), block)).toBe(readme);
});

test('another result replaces the one in the document, and nothing else changes', () => {
  const block = publishedBlock('README.md', { file: 'a.json', run: madeUpRun() });
  const text = `before\n${block}\nafter $& $1\n`;
  const other = publishedBlock('README.md', { file: 'b.json', run: { ...madeUpRun(), quick: true } });
  expect(withPublished(text, other)).toBe(`before\n${other}\nafter $& $1\n`);
  expect(publishedResults(withPublished(text, other))).toEqual(['b.json']);
});

test('the table says whether other programs were busy, and which machine it was', () => {
  const block = publishedBlock('README.md', { file: 'a.json', run: madeUpRun() });
  expect(block).toContain(
    'Measured on 2026-01-02: 2 × Made Up <9000>, Linux 6.1.0, Weft abc. Other programs were busy meanwhile, in cni.',
  );
  const quiet = { ...madeUpRun(), parts: madeUpRun().parts.map((part) => ({ ...part, notes: [] })) };
  expect(publishedBlock('README.md', { file: 'a.json', run: quiet })).not.toContain('busy');
});

test('with two machines each figure is a range, and a limit is kept only if both keep it', () => {
  const one = madeUpRun();
  const twice = ({ value, low, high, ...more }: RatioOfFigures): RatioOfFigures => {
    return { ...more, value: value * 2, low: low * 2, high: high * 2, most: value * 1.5 };
  };
  const once = one.parts.map((part) => ({
    ...part,
    ratios: part.ratios.map((ratio) => ({ ...ratio, most: ratio.value * 1.5 })),
  }));
  const other = one.parts.map((part) => ({ ...part, ratios: part.ratios.map(twice) }));
  const of = (file: string, parts: RunResult['parts']): KeptRun => ({ file, run: { ...one, parts } });
  const ratio = one.parts[0]?.ratios[0];
  if (ratio === undefined) throw new Error('no ratio');
  const block = publishedBlock('README.md', of('a.json', once), of('b.json', other));
  expect(block).toContain(`${ratio.value.toFixed(2)}–${(ratio.value * 2).toFixed(2)} (`);
  expect(block).toContain(`<!-- npm run bench -- table a.json b.json --into README.md -->`);
  expect(block).toMatch(new RegExp(`Not kept on each: .*${ratio.name} \\(≤ `));
  expect(publishedBlock('README.md', of('a.json', once), of('b.json', once))).not.toMatch(
    new RegExp(`Not kept on each: .*${ratio.name} \\(≤ `),
  );
  expect(publishedResults(block)).toEqual(['a.json', 'b.json']);
});

test('a document without the markers for a table is refused', () => {
  expect(() => withPublished('# Weft\n', 'x')).toThrow('no line <!-- npm run bench -- table FILE --into DOCUMENT -->');
});
