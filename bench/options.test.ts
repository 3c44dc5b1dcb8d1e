import { expect, test } from 'vitest';
import { parseBenchArgs } from './options.ts';

test('reads a question and its options', () => {
  const { name, options } = parseBenchArgs(['cni', '--peer', '/opt/peer', '--quick', '--runs', '7'], '/repo');
  expect(name).toBe('cni');
  expect(options).toEqual({
    repository: '/repo',
    runs: 7,
    quick: true,
    peer: '/opt/peer',
    json: undefined,
    verbose: false,
  });
});

test.for([
  { name: 'a count that is none', argv: ['cni', '--runs', 'many'], want: '--runs many: a count' },
  { name: 'no runs at all', argv: ['cni', '--runs', '0'], want: '--runs 0: a count' },
  { name: 'two questions', argv: ['cni', 'start'], want: 'one question at a time, not also start' },
  { name: 'an unknown option', argv: ['cni', '--qick'], want: "Unknown option '--qick'" },
])('refuses $name', ({ argv, want }) => {
  expect(() => parseBenchArgs(argv, '/repo')).toThrow(want);
});
