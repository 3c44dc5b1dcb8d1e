import { describe, expect, test } from 'vitest';
import { closingLines, hasFailed, joinRows, lacking, type Outcome, selection, type Tally } from './tally.mjs';

const KUBECTL = 'needs kubectl on PATH';

function outcome(name: string, state: Outcome['state'], reason?: string): Outcome {
  return { file: 'a.test.ts', names: ['suite', name], state, ...(reason === undefined ? {} : { reason }) };
}

function tally(tests: Outcome[], failures = 0): Tally {
  return { failures, tests };
}

function line(value: Tally): string {
  return closingLines(value).trimEnd().split('\n').at(-1) ?? '';
}

describe('two runs give one result', () => {
  const first = tally([
    outcome('here', 'passed'),
    outcome('later', 'skipped', 'not selected, not reached or skipped without a reason'),
    outcome('more', 'skipped', KUBECTL),
    outcome('most', 'skipped', 'needs tun'),
  ]);

  test('tests that lacked something in the first run are run again, and no others', () => {
    expect(lacking(first).map(({ names }) => names[1])).toEqual(['more', 'most']);
    expect(selection(lacking(first))).toEqual(['a.test.ts', '--testNamePattern', '^(suite more|suite most)$']);
  });

  test('a name with characters of a regular expression selects itself only', () => {
    const name = 'DEL of $x (once) [a|b] costs 1.5 \\ ^ {2} a/b?';
    const pattern = new RegExp(selection([{ ...outcome(name, 'skipped', KUBECTL), names: [name] }]).at(-1) ?? '');
    expect(pattern.test(name)).toBe(true);
    expect(pattern.test(name.replace('1.5', '105'))).toBe(false);
  });

  const rows: { name: string; second: Tally; want: string }[] = [
    {
      name: 'what the second runs counts once, what it lacks too is skipped, what it did not select is not counted',
      second: tally([
        outcome('here', 'skipped', 'not selected, not reached or skipped without a reason'),
        outcome('more', 'passed'),
        outcome('most', 'skipped', 'needs tun'),
      ]),
      want: '2 passed, 0 failed, 2 skipped',
    },
    {
      name: 'a failure of the second is one of the whole',
      second: tally([outcome('more', 'failed'), outcome('most', 'passed')], 1),
      want: '2 passed, 2 failed, 1 skipped',
    },
    {
      name: 'a test that the second does not know, or did not select, is a failure',
      second: tally([outcome('most', 'skipped', 'not selected, not reached or skipped without a reason')]),
      want: '1 passed, 2 failed, 1 skipped',
    },
    {
      name: 'a failure of a test that the second was not asked for counts',
      second: tally([outcome('more', 'passed'), outcome('most', 'passed'), outcome('here', 'failed')]),
      want: '3 passed, 1 failed, 1 skipped',
    },
    {
      name: 'a second row that broke is a failure beside those it did not run',
      second: tally([], 1),
      want: '1 passed, 3 failed, 1 skipped',
    },
  ];
  test.for(rows)('$name', ({ second, want }) => {
    const joined = joinRows(first, second);
    expect(line(joined)).toBe(want);
    expect(hasFailed(joined)).toBe(!want.includes(' 0 failed'));
  });
});
