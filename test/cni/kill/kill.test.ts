// Kills the CNI executable at every system call that it makes: `npm run suite -- kill`.

import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { suiteOption } from '../../support/suite-options.ts';
import { executablesFolder, runInside, subnetEnv } from '../inside.ts';
import type { KillReport } from './points.ts';

const PLUGINS = ['flannel', 'portmap', 'bandwidth'];
const timeout = 1_800_000;
const wanted = suiteOption('plugin');
const point = suiteOption('point');
const targets = PLUGINS.filter((name) => wanted === undefined || name === wanted).flatMap((type) => [
  { type, command: 'ADD' },
  { type, command: 'DEL' },
]);

test.for(targets)(
  'after $type was killed anywhere in its $command, DEL cleans up and ADD works',
  { timeout },
  async ({ type, command }) => {
    const executables = await executablesFolder(PLUGINS);
    const killer = join(executables, 'killer');
    execFileSync('cc', ['-O2', '-Wall', '-o', killer, join(import.meta.dirname, 'killer.c')]);
    const args = [type, command, killer, ...(point === undefined ? [] : [point])];
    const options = { executables, subnetEnv: subnetEnv('10.9.0.1/24') };
    const { points, failures } = await runInside<KillReport>(join(import.meta.dirname, 'main.ts'), args, options);
    expect(failures).toEqual([]);
    expect(points, 'no system call was found').toBeGreaterThan(0);
    process.stdout.write(`${type} ${command}: killed at ${points} points\n`);
  },
);
