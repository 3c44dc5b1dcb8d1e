// `npm run suite -- kill`: the CNI executable killed at every system call it makes for an ADD and a DEL, each in a fresh
// state, its children as well. It runs inside namespaces of its own, in a second Node process.

import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Sandbox } from '../conformance/sandbox.ts';
import { type Place, problemOf } from '../stress/plugin.ts';
import { commonPoints, describePoint, type Point, parsePoints } from './points.ts';
import { type Target, Trial } from './trial.ts';

const PLUGINS = ['flannel', 'portmap', 'bandwidth'];
const TRACES = 3;
/** How often to try a point: whether a program makes some calls depends on timing, so a run may not reach it. */
const ATTEMPTS = 5;
const TARGET_LIMIT_MS = 600_000;

interface Order {
  readonly target: Target;
  readonly place: Place;
  readonly killer: string;
  readonly only: number | undefined;
}

interface Report {
  readonly points: number;
  readonly processes: number;
  readonly failures: string[];
}

/** Runs inside the sandbox; its only output is the report. */
export async function inside(text: string): Promise<void> {
  const { target, place, killer, only } = JSON.parse(text) as Order;
  const trial = new Trial(place, killer);
  const all = await trace(trial, target, join(place.dir, 'trace'));
  const points = all.filter((_, index) => only === undefined || index === only);
  const failures: string[] = [];
  const arch = process.arch === 'arm64' ? 'arm64' : 'x64';
  for (const point of points) {
    const where = `${target.type} ${target.command} killed at ${describePoint(point, arch)} (point ${all.indexOf(point)})`;
    try {
      if (!(await killOnce(trial, target, point))) failures.push(`${where}: nothing died`);
      await trial.recover();
    } catch (error) {
      failures.push(`${where}: ${(error as Error).message}`);
    }
  }
  const processes = new Set(points.map(({ process: index }) => index)).size;
  process.stdout.write(JSON.stringify({ points: points.length, processes, failures } satisfies Report));
}

async function trace(trial: Trial, target: Target, file: string): Promise<Point[]> {
  const traces: Point[][] = [];
  for (let run = 0; run < TRACES; run++) {
    const problem = problemOf(target.command, await trial.runTarget(target, ['trace', file]));
    if (problem !== undefined) throw new Error(`${target.type}: ${problem}`);
    traces.push(parsePoints(readFileSync(file, 'utf8')));
  }
  return commonPoints(traces);
}

async function killOnce(trial: Trial, target: Target, point: Point): Promise<boolean> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) if (await trial.kill(target, point)) return true;
  return false;
}

async function runTarget(self: string, bin: string, order: Omit<Order, 'place'>): Promise<Report> {
  const sandbox = await Sandbox.open(bin);
  try {
    const env = 'FLANNEL_NETWORK=10.9.0.0/16\nFLANNEL_SUBNET=10.9.0.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n';
    writeFileSync(join(sandbox.dir, 'subnet.env'), env);
    const place: Place = { dir: sandbox.dir, bin: join(sandbox.dir, 'bin') };
    const program = 'const { inside } = await import(process.argv[1]); await inside(process.argv[2]);';
    const argv = [process.execPath, '--input-type=module', '-e', program, self, JSON.stringify({ ...order, place })];
    const { exitCode, signal, stdout, stderr } = await sandbox.run(argv, { timeoutMs: TARGET_LIMIT_MS });
    if (exitCode !== 0) throw new Error(`${order.target.type} ended with ${exitCode ?? signal}: ${stderr.trim()}`);
    return JSON.parse(stdout) as Report;
  } finally {
    await sandbox.close();
  }
}

/** As scripts/commands.mjs has them. */
interface Values {
  readonly plugin?: string;
  readonly point?: string;
}

/** `self`: the bundle this module is in; `executable`: the one under test. Resolves with the exit code. */
export async function main(values: Values, self: string, executable: string, root: string): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'kill-bin-'));
  try {
    for (const name of PLUGINS) copyFileSync(executable, join(folder, name));
    const killer = join(folder, 'killer');
    execFileSync('cc', ['-O2', '-Wall', '-o', killer, join(root, 'test/cni/kill/killer.c')]);
    const types = PLUGINS.filter((name) => values.plugin === undefined || name === values.plugin);
    const only = values.point === undefined ? undefined : Number(values.point);
    return await runAll(self, folder, killer, types, only);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function runAll(self: string, bin: string, killer: string, types: readonly string[], only: number | undefined) {
  let points = 0;
  let failed = types.length === 0;
  for (const type of types) {
    for (const command of ['ADD', 'DEL'] as const) {
      const report = await runTarget(self, bin, { target: { type, command }, killer, only });
      const { length } = report.failures;
      const outcome = length === 0 ? 'no failure' : `${length} failures`;
      process.stdout.write(
        `${type} ${command}: ${report.points} points in ${report.processes} processes: ${outcome}\n`,
      );
      for (const failure of report.failures) process.stdout.write(`  ${failure}\n`);
      points += report.points;
      failed ||= length > 0 || report.points === 0;
    }
  }
  process.stdout.write(`killed at ${points} points\n`);
  return failed ? 1 : 0;
}
