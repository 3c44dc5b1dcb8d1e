import { expect, test } from 'vitest';
import { median } from './demo/report.ts';
import { answered, type Pinger, pingMatrix, probeRequest } from './matrix.ts';
import { formatTable } from './table.ts';

function pinger(name: string, node: string, log: string[]): Pinger {
  return {
    name,
    ip: `ip-${name}`,
    node: { name: node },
    ping(targets) {
      log.push(name);
      return Promise.resolve(targets.map((ip) => (ip === 'ip-c' ? { ip, failure: 'lost' } : { ip, rttMs: 1 })));
    },
  };
}

test('pingMatrix has every ordered pair once, in order, and names both ends', async () => {
  const log: string[] = [];
  const pods = [pinger('a', 'n1', log), pinger('b', 'n2', log), pinger('c', 'n1', log)];
  const pairs = await pingMatrix(pods);
  expect(pairs.map(({ from, to, failure }) => `${from}>${to} ${failure ?? 'ok'}`)).toEqual([
    'a>b ok',
    'a>c lost',
    'b>a ok',
    'b>c lost',
    'c>a ok',
    'c>b ok',
  ]);
  expect(answered(pairs)).toHaveLength(4);
  expect(log.toSorted()).toEqual(['a', 'b', 'c']);
});

test('probeRequest has the defaults of ping(8)', () => {
  const filled = { netns: undefined, targets: ['x'], payloadBytes: 56, dontFragment: false, timeoutMs: 1000 };
  expect(probeRequest(['x'], undefined, {})).toEqual(filled);
});

test('formatTable aligns the first column left and the others right', () => {
  expect(
    formatTable([
      ['a', 'long'],
      ['longer', 'b'],
    ]),
  ).toBe('  a       long\n  longer     b\n');
});

test.for([
  { values: [3, 1, 2], want: 2 },
  { values: [4, 1, 2, 3], want: 2.5 },
  { values: [], want: 0 },
])('median of $values is $want', ({ values, want }) => {
  expect(median(values)).toBe(want);
});
