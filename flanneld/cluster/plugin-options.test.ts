import { describe, expect, test } from 'vitest';
import { COMMANDS, parsePluginLine } from './plugin-options.ts';

describe('parsePluginLine', () => {
  test('reads flags as kubectl has them', () => {
    const argv = ['doctor', '--context', 'c', '--kubeconfig=/k', '-n', 'ns', '--json', '--parallel', '8'];
    expect(parsePluginLine(argv)).toMatchObject({
      command: 'doctor',
      context: 'c',
      kubeconfigFile: '/k',
      namespace: 'ns',
      json: true,
      parallel: 8,
      timeoutMs: 30_000,
    });
  });

  test('asks 32 nodes at the same time by default', () => {
    expect(parsePluginLine(['status'])).toMatchObject({ parallel: 32, json: false, namespace: undefined });
  });

  test.for(COMMANDS.filter((command) => command !== 'version'))('%s has a help', (command) => {
    const line = parsePluginLine([command, '--help']);
    expect(line).toEqual({ help: expect.stringContaining('--kubeconfig <file>') });
  });

  test('lists the commands when none is given', () => {
    expect(parsePluginLine([])).toEqual({ help: expect.stringContaining('doctor') });
  });

  test.for([
    { argv: ['frobnicate'], want: "unknown command 'frobnicate'" },
    { argv: ['status', '--nope'], want: "unknown option '--nope'" },
    { argv: ['status', 'more'], want: 'too many arguments' },
    { argv: ['status', '--parallel', '0'], want: 'expected 1–512' },
    { argv: ['status', '--timeout', 'x'], want: 'expected 1–600' },
    { argv: ['map', '--json'], want: "unknown option '--json'" },
    { argv: ['connectivity', '--without', 'dns,nope'], want: 'expected some of pod, full-size, service, node, dns' },
  ])('refuses $argv', ({ argv, want }) => {
    expect(() => parsePluginLine(argv)).toThrow(want);
  });
});
