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

test('the README says what the results it names say, of more than one machine', () => {
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

test('another result takes the place of the one that is there, and nothing else changes', () => {
  const block = publishedBlock('README.md', { file: 'a.json', run: madeUpRun() });
  const text = `before\n${block}\nafter $& $1\n`;
  const other = publishedBlock('README.md', { file: 'b.json', run: { ...madeUpRun(), quick: true } });
  expect(withPublished(text, other)).toBe(`before\n${other}\nafter $& $1\n`);
  expect(publishedResults(withPublished(text, other))).toEqual(['b.json']);
});

test('it says whether others were busy, and of which machine it is', () => {
  const block = publishedBlock('README.md', { file: 'a.json', run: madeUpRun() });
  expect(block).toContain(
    'Measured on 2026-01-02: 2 × Made Up <9000>, Linux 6.1.0, Weft abc. Other programs were busy meanwhile, in cni.',
  );
  const quiet = { ...madeUpRun(), parts: madeUpRun().parts.map((part) => ({ ...part, notes: [] })) };
  expect(publishedBlock('README.md', { file: 'a.json', run: quiet })).not.toContain('busy');
});

test('two machines: the range of each figure, and no limit is called kept that one of them does not keep', () => {
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

test('a document without a place for it is refused', () => {
  expect(() => withPublished('# Weft\n', 'x')).toThrow('no line <!-- npm run bench -- table FILE --into DOCUMENT -->');
});
