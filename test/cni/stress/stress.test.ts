// What happens to the CNI executable on a node in a year, in minutes: `npm run suite -- stress`.

import { randomInt } from 'node:crypto';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { suiteNumber } from '../../support/suite-options.ts';
import { executablesFolder, runInside, subnetEnv } from '../inside.ts';
import { type ChurnReport, POD_COUNT } from './churn.ts';
import type { OneAddressReport } from './one-address.ts';

const rounds = suiteNumber('rounds', 3000);
const operations = suiteNumber('operations', 2000);
const seed = suiteNumber('seed', randomInt(2 ** 32));
const timeout = 1_800_000;
const program = join(import.meta.dirname, 'main.ts');

async function runPart<T>(args: readonly string[], subnet: string, netns: readonly string[]): Promise<T> {
  return await runInside<T>(program, args, {
    executables: await executablesFolder(['flannel', 'portmap', 'bandwidth']),
    subnetEnv: subnetEnv(subnet),
    async prepare(sandbox) {
      for (const name of netns) await sandbox.addContainer(name);
    },
  });
}

test.runIf(rounds > 0)(`one usable address: ${rounds} rounds of ADD, connect, DEL`, { timeout }, async () => {
  const report = await runPart<OneAddressReport>(['oneAddress', `${rounds}`], '10.9.0.1/30', ['c2']);
  expect(report).toEqual({ rounds, seen: 0, failures: [] });
});

const name = `${POD_COUNT} pods: ${operations} operations, a fifth of them killed (seed ${seed})`;
test.runIf(operations > 0)(name, { timeout }, async () => {
  const netns = Array.from({ length: POD_COUNT }, (_, index) => `p${index}`);
  const report = await runPart<ChurnReport>(['churn', `${operations}`, `${seed}`], '10.9.0.1/24', netns);
  expect(report.failures).toEqual([]);
  expect(report.operations).toBe(operations);
  expect(report.killed, 'without a killed call the test shows nothing').toBeGreaterThan(0);
});
