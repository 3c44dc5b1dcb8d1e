// `npm run test:containerd`: the classic conflist end to end, driven by a real containerd the way kubelet drives it.

import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { endOwnedLabs } from '../lab/launch.ts';
import { builtPlugins } from '../lab/programs.ts';
import { type Outcome, runChecks } from './check.ts';
import { checks } from './main-checks.ts';
import { type Plugins, Site } from './site.ts';

const USAGE = `npm run test:containerd -- [--bin DIR] [--control]
  --bin DIR   CNI executables to test instead of dist/cni, for comparison
  --control   port mapping is replaced by a plugin that does nothing: exactly the host port checks must fail
`;

/** What the classic conflist and containerd execute, and what the Go flannel executes in turn. */
const NAMES = ['flannel', 'portmap', 'loopback'];
const DELEGATES = ['bridge', 'host-local'];

/** A portmap that passes on what it is given. */
const NO_PORTMAP = `#!${process.execPath}
const { prevResult } = JSON.parse(require('node:fs').readFileSync(0, 'utf8'));
if (process.env.CNI_COMMAND === 'ADD') process.stdout.write(JSON.stringify(prevResult));
`;

/** Returns the exit code: 0 when every check came out as it must. */
export async function main(argv: readonly string[]): Promise<number> {
  const options = { bin: { type: 'string' }, control: { type: 'boolean' }, help: { type: 'boolean' } } as const;
  const { values } = parseArgs({ args: [...argv], options });
  if (values.help === true) {
    print(USAGE);
    return 0;
  }
  const startMs = performance.now();
  const outcomes = await runSite(choosePlugins(values.bin, values.control === true));
  const failed = outcomes.filter(({ failure }) => failure !== undefined);
  print(
    `\n${outcomes.length} checks, ${failed.length} failed, ${((performance.now() - startMs) / 1000).toFixed(0)} s\n`,
  );
  if (values.control !== true) return failed.length === 0 ? 0 : 1;
  return judgeControl(outcomes);
}

function choosePlugins(bin: string | undefined, control: boolean): Plugins {
  const folder = bin === undefined ? builtPlugins : resolve(bin);
  if (!existsSync(join(folder, 'flannel'))) throw new Error(`--bin: no flannel in ${folder}`);
  const names = [...NAMES, ...DELEGATES.filter((name) => existsSync(join(folder, name)))];
  return { bin: folder, names, instead: control ? { name: 'portmap', text: NO_PORTMAP } : undefined };
}

async function runSite(plugins: Plugins): Promise<Outcome[]> {
  const site = await Site.make(plugins);
  try {
    return await runChecks(site, checks, (line) => print(`${line}\n`));
  } finally {
    await site.down();
  }
}

function judgeControl(outcomes: readonly Outcome[]): number {
  const wrong = outcomes.filter(({ check, failure }) => (failure !== undefined) !== (check.hostPort === true));
  for (const { check, failure } of wrong) print(`CONTROL ${check.name}: ${failure ?? 'passed without port mapping'}\n`);
  const expected = outcomes.filter(({ check }) => check.hostPort === true).length;
  if (wrong.length === 0) print(`control: exactly the ${expected} host port checks failed\n`);
  return wrong.length === 0 ? 0 : 1;
}

/** For a signal's handler. */
export async function endLabs(): Promise<void> {
  await endOwnedLabs();
}

function print(text: string): void {
  process.stdout.write(text);
}
