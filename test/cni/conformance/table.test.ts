// The table of conformance cases is complete, and the document in the repository is made from it.

import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { Case } from './case.ts';
import { leftOut, renderDocument } from './document.ts';
import { CaseFailure, same, sameText } from './expect.ts';
import { failureLine, summary } from './report.ts';
import type { CaseReport } from './run-cases.ts';
import { allCases } from './table.ts';
import { ordinaryVersion } from './versions.ts';

/** The numbers of the contract's rows. */
const ROWS = Array.from({ length: 178 }, (_, at) => at + 1);

describe('the table of cases', () => {
  test('has a case for every row of the contract, or a reason why the row is left out', () => {
    const covered = new Set([...allCases, ...leftOut].flatMap(({ numbers }) => numbers));
    expect(ROWS.filter((row) => !covered.has(row))).toEqual([]);
    expect([...covered].filter((row) => !ROWS.includes(row))).toEqual([]);
  });

  test('a row that is left out has no case', () => {
    const cases = new Set(allCases.flatMap(({ numbers }) => numbers));
    expect(leftOut.flatMap(({ numbers }) => numbers).filter((row) => cases.has(row))).toEqual([]);
  });

  test('no two cases have one id', () => {
    const ids = allCases.map(({ id }) => id);
    expect(ids.filter((id, at) => ids.indexOf(id) !== at)).toEqual([]);
  });

  test('cni-plugin/CONFORMANCE.md is made from the present table (npm run conformance -- --table)', () => {
    const path = new URL('../../../cni-plugin/CONFORMANCE.md', import.meta.url);
    expect(readFileSync(path, 'utf8')).toBe(renderDocument(allCases));
  });
});

describe('renderDocument', () => {
  const one: Case = {
    id: '7a',
    numbers: [7],
    title: 'a | b',
    plugin: 'bridge',
    since: '0.4.0',
    needs: ['nft'],
    differs: { reason: 'it is better' },
    check: () => Promise.resolve(),
  };

  test('shows a case that differs twice, with the reason and with the note that the reference was not tried', () => {
    const lines = renderDocument([one])
      .split('\n')
      .filter((line) => line.startsWith('| 7a'));
    expect(lines).toEqual(['| 7a | a \\| b | it is better | not tried |', '| 7a | a \\| b | 0.4.0 | nft | differs |']);
  });
});

describe('summary', () => {
  const report = (id: string, outcome: CaseReport['outcome'], reason?: string): CaseReport => ({
    id,
    plugin: 'bridge',
    title: 'title',
    outcome,
    durMs: 1,
    ...(reason === undefined ? {} : { reason }),
  });

  test('skipped cases are counted by reason and not among those that ran', () => {
    const reports = [
      report('1', 'passed'),
      report('2', 'failed', 'no'),
      report('3', 'skipped', 'x'),
      report('4', 'skipped', 'x'),
    ];
    expect(summary(reports)).toEqual(['skipped 2: x (3 4)', '2 run, 1 passed, 1 failed, 2 skipped']);
  });

  test('a failure is one line', () => {
    expect(failureLine(report('2', 'failed', 'wanted a, got b'))).toBe('FAIL 2 (bridge) title: wanted a, got b');
  });
});

describe('same', () => {
  test('treats a key whose value is undefined as an absent one, and ignores the order of keys', () => {
    expect(() => same({ a: 1, b: undefined, c: 2 }, { c: 2, a: 1 }, 'it')).not.toThrow();
  });

  test.for([
    [
      [1, 2],
      [2, 1],
    ],
    [{ a: 1 }, { a: '1' }],
    [undefined, null],
    ['', undefined],
  ])('%j is not %j', ([actual, wanted]) => {
    expect(() => same(actual, wanted, 'it')).toThrow(CaseFailure);
  });

  test('says in one line what was wanted and what was found', () => {
    expect(() => sameText('a\nb', /c/, 'stdout')).toThrow('stdout: wanted /c/, got "a\\nb"');
  });
});

describe('ordinaryVersion', () => {
  test.for([
    { name: 'all', spoken: ['0.1.0', '0.4.0', '1.0.0', '1.1.0'], want: '1.0.0' },
    { name: 'an old plugin', spoken: ['0.1.0', '0.4.0'], want: '0.4.0' },
    { name: 'one that says nothing', spoken: [], want: '1.0.0' },
  ] as const)('$name: $want', ({ spoken, want }) => {
    expect(ordinaryVersion(spoken)).toBe(want);
  });
});
