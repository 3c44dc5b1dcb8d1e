import { expect, test } from 'vitest';
import { parseBenchArgs } from './options.ts';

test('reads parts and their options', () => {
  const argv = ['cni', 'packet', '--peer', '/opt/peer', '--quick', '--runs', '7', '--out', '/tmp/x'];
  expect(parseBenchArgs(argv, '/repo')).toEqual({
    kind: 'run',
    parts: ['cni', 'packet'],
    out: '/tmp/x',
    options: {
      repository: '/repo',
      runs: 7,
      quick: true,
      peer: '/opt/peer',
      cluster: { kubeconfig: undefined, context: undefined, nodes: undefined, image: undefined, churn: 30 },
    },
  });
});

test('reads kubeconfig and context', () => {
  const argv = [
    'cluster',
    '--kubeconfig=/k',
    '--context',
    'c',
    '--nodes',
    'a,b',
    '--image',
    'r/weft:1',
    '--churn',
    '5',
  ];
  expect(parseBenchArgs(argv, '/repo')).toMatchObject({
    options: { cluster: { kubeconfig: '/k', context: 'c', nodes: 'a,b', image: 'r/weft:1', churn: 5 } },
  });
});

test('no part given means all parts', () => {
  expect(parseBenchArgs([], '/repo')).toMatchObject({ kind: 'run', parts: [], out: undefined });
});

test('reads the commands on results', () => {
  expect(parseBenchArgs(['compare', 'a.json', 'b.json'], '/')).toEqual({
    kind: 'compare',
    before: 'a.json',
    after: 'b.json',
  });
  expect(parseBenchArgs(['cluster', '--compare', 'a.json', 'b.json'], '/')).toEqual({
    kind: 'compare',
    before: 'a.json',
    after: 'b.json',
  });
  expect(parseBenchArgs(['table', 'a.json'], '/')).toEqual({ kind: 'table', results: ['a.json'], into: undefined });
  expect(parseBenchArgs(['table', 'a.json', 'b.json'], '/')).toMatchObject({ results: ['a.json', 'b.json'] });
  expect(parseBenchArgs(['table', 'a.json', '--into', 'README.md'], '/')).toMatchObject({ into: 'README.md' });
  expect(parseBenchArgs(['report', 'a.json'], '/')).toEqual({ kind: 'report', result: 'a.json' });
});

test.for([
  { name: 'a count that is none', argv: ['cni', '--runs', 'many'], want: '--runs many: a count' },
  { name: 'no runs at all', argv: ['cni', '--runs', '0'], want: '--runs 0: a count' },
  { name: 'an unknown option', argv: ['cni', '--qick'], want: "Unknown option '--qick'" },
  { name: 'one file to compare', argv: ['compare', 'a'], want: 'compare: expected 2 result files, got 1' },
  {
    name: 'one cluster to compare',
    argv: ['cluster', '--compare=a'],
    want: 'cluster --compare: expected 2 result files, got 1',
  },
  {
    name: 'a comparison of another part',
    argv: ['cni', '--compare', 'a', 'b'],
    want: '--compare: only with cluster, not with "cni"',
  },
  { name: 'a table of nothing', argv: ['table'], want: 'table: expected result files, got none' },
])('refuses $name', ({ argv, want }) => {
  expect(() => parseBenchArgs(argv, '/repo')).toThrow(want);
});
