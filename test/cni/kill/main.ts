// Runs inside the sandbox: kills one plugin's ADD or DEL at every system call it makes, its children as well, each time in a fresh
// state. Prints the report as JSON.
//   node main.mjs DIR PLUGIN COMMAND KILLER [POINT]

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { problemOf } from '../stress/plugin.ts';
import { commonPoints, describePoint, type KillReport, type Point, parsePoints } from './points.ts';
import { type Target, Trial } from './trial.ts';

const TRACES = 3;
/** How often to try a point: a program makes some calls depending on timing, so a run may not reach it. */
const ATTEMPTS = 5;

const [, , dir = '', type = '', command = '', killer = '', only] = process.argv;
const trial = new Trial({ dir, bin: join(dir, 'bin') }, killer);
process.stdout.write(JSON.stringify(await killEverywhere({ type, command: command === 'DEL' ? 'DEL' : 'ADD' })));

async function killEverywhere(target: Target): Promise<KillReport> {
  const all = await trace(target, join(dir, 'trace'));
  const points = all.filter((_, index) => only === undefined || index === Number(only));
  const failures: string[] = [];
  const arch = process.arch === 'arm64' ? 'arm64' : 'x64';
  for (const point of points) {
    const where = `killed at ${describePoint(point, arch)} (point ${all.indexOf(point)})`;
    try {
      if (!(await killOnce(target, point))) failures.push(`${where}: nothing died`);
      await trial.recover();
    } catch (error) {
      failures.push(`${where}: ${(error as Error).message}`);
    }
  }
  return { points: points.length, failures };
}

async function trace(target: Target, file: string): Promise<Point[]> {
  const traces: Point[][] = [];
  for (let run = 0; run < TRACES; run++) {
    const problem = problemOf(target.command, await trial.runTarget(target, ['trace', file]));
    if (problem !== undefined) throw new Error(`${target.type}: ${problem}`);
    traces.push(parsePoints(readFileSync(file, 'utf8')));
  }
  return commonPoints(traces);
}

async function killOnce(target: Target, point: Point): Promise<boolean> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) if (await trial.kill(target, point)) return true;
  return false;
}
