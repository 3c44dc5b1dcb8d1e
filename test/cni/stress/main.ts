// `npm run suite -- stress`: what a node does to the CNI executable in a year, in minutes. The parts run inside namespaces
// of their own, in a second Node process, so that starting a plugin costs no nsenter(1).

import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Random } from '../../faults/soak/random.ts';
import { Sandbox } from '../conformance/sandbox.ts';
import { Churn, type ChurnReport, POD_COUNT } from './churn.ts';
import { type OneAddressReport, stressOneAddress } from './one-address.ts';
import type { Place } from './plugin.ts';

const PART_LIMIT_MS = 600_000;
const SHOWN_FAILURES = 20;

interface Part {
  readonly kind: 'oneAddress' | 'churn';
  readonly count: number;
  readonly seed: number;
  readonly place: Place;
}

/** Runs inside the sandbox; its only output is the report. */
export async function inside(text: string): Promise<void> {
  const { kind, count, seed, place } = JSON.parse(text) as Part;
  const report =
    kind === 'churn' ? await new Churn(place, new Random(seed)).run(count) : await stressOneAddress(place, count);
  process.stdout.write(JSON.stringify(report));
}

async function runPart<T>(self: string, executables: string, part: Omit<Part, 'place'>): Promise<T> {
  const sandbox = await Sandbox.open(executables);
  try {
    const subnet = part.kind === 'oneAddress' ? '10.9.0.1/30' : '10.9.0.1/24';
    const env = `FLANNEL_NETWORK=10.9.0.0/16\nFLANNEL_SUBNET=${subnet}\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n`;
    writeFileSync(join(sandbox.dir, 'subnet.env'), env);
    const names = part.kind === 'oneAddress' ? ['c2'] : Array.from({ length: POD_COUNT }, (_, index) => `p${index}`);
    for (const name of names) await sandbox.addContainer(name);
    const place: Place = { dir: sandbox.dir, bin: join(sandbox.dir, 'bin') };
    const program = 'const { inside } = await import(process.argv[1]); await inside(process.argv[2]);';
    const argv = [process.execPath, '--input-type=module', '-e', program, self, JSON.stringify({ ...part, place })];
    const { exitCode, signal, stdout, stderr } = await sandbox.run(argv, { timeoutMs: PART_LIMIT_MS });
    if (exitCode !== 0) throw new Error(`the part "${part.kind}" ended with ${exitCode ?? signal}: ${stderr.trim()}`);
    return JSON.parse(stdout) as T;
  } finally {
    await sandbox.close();
  }
}

function print(line: string, failures: readonly string[]): void {
  process.stdout.write(`${line}: ${failures.length === 0 ? 'no failure' : `${failures.length} failures`}\n`);
  for (const failure of failures.slice(0, SHOWN_FAILURES)) process.stdout.write(`  ${failure}\n`);
}

/** As scripts/commands.mjs has them. */
interface Values {
  readonly rounds: string;
  readonly operations: string;
  readonly seed?: string;
}

/** `self`: the bundle this module is in; `executable`: the one under test. Resolves with the exit code. */
export async function main(values: Values, self: string, executable: string): Promise<number> {
  const seed = values.seed === undefined ? Date.now() % 2 ** 32 : Number(values.seed);
  const amounts = { rounds: Number(values.rounds), operations: Number(values.operations), seed };
  const executables = mkdtempSync(join(tmpdir(), 'stress-bin-'));
  try {
    for (const name of ['flannel', 'portmap', 'bandwidth']) copyFileSync(executable, join(executables, name));
    return await runAll(self, executables, amounts);
  } finally {
    rmSync(executables, { recursive: true, force: true });
  }
}

interface Amounts {
  readonly rounds: number;
  readonly operations: number;
  readonly seed: number;
}

async function runAll(self: string, executables: string, { rounds, operations, seed }: Amounts): Promise<number> {
  let failed = false;
  if (rounds > 0) {
    const part = { kind: 'oneAddress', count: rounds, seed } as const;
    const report = await runPart<OneAddressReport>(self, executables, part);
    print(
      `one address: ${report.rounds} rounds of ADD, connect, DEL; a veth seen after DEL in ${report.seen}`,
      report.failures,
    );
    failed ||= report.failures.length > 0 || report.seen > 0;
  }
  if (operations > 0) {
    const report = await runPart<ChurnReport>(self, executables, { kind: 'churn', count: operations, seed });
    const counts = `${report.killed} killed, ${report.givenUp} given up, ${report.alive} alive at the end`;
    print(`${POD_COUNT} pods: ${report.operations} operations (seed ${seed}): ${counts}`, report.failures);
    failed ||= report.failures.length > 0 || report.killed === 0;
  }
  return failed ? 1 : 0;
}
