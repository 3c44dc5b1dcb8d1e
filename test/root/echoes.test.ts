// The reconciler ignores the kernel's events about its own changes, but not those about changes by other programs.

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { compileForNode } from '../support/node-program.ts';

test('events about own changes bring nothing new, events about others’ changes do', async () => {
  const program = await compileForNode(join(import.meta.dirname, 'fixtures/echoes-node.ts'));
  onTestFinished(program.remove);
  const { status, stdout, stderr } = spawnSync('unshare', ['--net', process.execPath, program.path], {
    encoding: 'utf8',
  });
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  const report = JSON.parse(stdout) as Record<string, { events: number; hasNews: boolean; errors: string[] }>;
  const own = ['two peers', 'one moves', 'one leaves', 'one comes back'];
  expect(own.map((step) => [step, report[step]?.hasNews])).toEqual(own.map((step) => [step, false]));
  // The kernel sends two events when a neighbour is deleted.
  expect(own.map((step) => report[step]?.events)).toEqual([8, 3, 5, 4]);
  const others = ['a neighbour deleted', 'an FDB entry led elsewhere', 'a route replaced', 'nexthops flushed'];
  expect(others.map((step) => [step, report[step]?.hasNews])).toEqual(others.map((step) => [step, true]));
  // The events of a repair are ignored as well.
  const repaired = others.map((step) => `${step}, repaired`);
  expect(repaired.map((step) => [step, report[step]?.hasNews])).toEqual(repaired.map((step) => [step, false]));
  expect(Object.values(report).flatMap(({ errors }) => errors)).toEqual([]);
});
