// What the real kernel tells of the reconciler's own changes is passed over; what anybody else does is not.

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { compileForNode } from '../support/node-program.ts';

test('every event of an own change is an echo, and none of somebody else’s', async () => {
  const program = await compileForNode(join(import.meta.dirname, 'fixtures/echoes-node.ts'));
  onTestFinished(program.remove);
  const { status, stdout, stderr } = spawnSync('unshare', ['--net', process.execPath, program.path], {
    encoding: 'utf8',
  });
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  const report = JSON.parse(stdout) as Record<string, { echoes: number; news: string[] }>;
  const own = ['two peers', 'one moves', 'one leaves', 'one comes back'];
  expect(own.map((step) => [step, report[step]?.news])).toEqual(own.map((step) => [step, []]));
  // A neighbour that is deleted is told of twice.
  expect(own.map((step) => report[step]?.echoes)).toEqual([8, 3, 5, 4]);
  expect(report).toMatchObject({
    'a neighbour deleted': { echoes: 0, news: ['neighbour'] },
    'an FDB entry led elsewhere': { echoes: 0, news: ['neighbour'] },
    'a route replaced': { echoes: 0, news: ['route'] },
    'nexthops flushed': { echoes: 0, news: ['nexthop'] },
  });
});
