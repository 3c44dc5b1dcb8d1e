// `npm run test:containerd`: the classic conflist end to end, driven by a real containerd the way kubelet drives it.

import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { endOwnedLabs } from '../lab/launch.ts';
import { builtPlugins } from '../lab/programs.ts';
import { judgeControl, type Outcome, runChecks } from './check.ts';
import { controls } from './controls.ts';
import { checks } from './main-checks.ts';
import { type Plugins, Site, type Variant } from './site.ts';

const USAGE = `npm run test:containerd -- [--bin DIR] [--control PART[,PART…]|all]
  --bin DIR   CNI executables to test instead of dist/cni, for comparison
  --control   breaks a part on purpose: exactly the checks that stand on it must fail
              ${controls.map(({ part, what }) => `${part.padEnd(11)} ${what}`).join('\n              ')}
`;

/** What the classic conflist and containerd execute, and what the Go flannel executes in turn. */
const NAMES = ['flannel', 'portmap', 'loopback'];
const DELEGATES = ['bridge', 'host-local'];

/** Returns the exit code: 0 when every check came out as it must. */
export async function main(argv: readonly string[]): Promise<number> {
  const options = { bin: { type: 'string' }, control: { type: 'string' }, help: { type: 'boolean' } } as const;
  const { values } = parseArgs({ args: [...argv], options });
  if (values.help === true) {
    print(USAGE);
    return 0;
  }
  const plugins = choosePlugins(values.bin);
  const wrong = values.control === undefined ? await run(plugins) : await runControls(plugins, values.control);
  return wrong === 0 ? 0 : 1;
}

/** Returns how many checks failed. */
async function run(plugins: Plugins): Promise<number> {
  const startMs = performance.now();
  const outcomes = await runSite(plugins, {}, (line) => print(`${line}\n`));
  const failed = outcomes.filter(({ failure }) => failure !== undefined).length;
  const seconds = ((performance.now() - startMs) / 1000).toFixed(0);
  print(`\n${outcomes.length} checks, ${failed} failed, ${seconds} s\n`);
  return failed;
}

/** Returns how many checks came out otherwise than a broken part must make them. */
async function runControls(plugins: Plugins, wanted: string): Promise<number> {
  const parts = controls.map(({ part }) => part);
  const unknown = wanted === 'all' ? undefined : wanted.split(',').find((part) => !parts.includes(part));
  if (unknown !== undefined) throw new Error(`--control: no "${unknown}" among ${parts.join(', ')}, all`);
  let wrong = 0;
  for (const { part, what, variant } of controls) {
    if (wanted !== 'all' && !wanted.split(',').includes(part)) continue;
    const outcomes = await runSite(plugins, variant(plugins.bin), () => undefined);
    const failed = outcomes.filter(({ failure }) => failure !== undefined);
    const surprises = judgeControl(part, outcomes);
    print(`control ${part} (${what}): ${failed.length} of ${outcomes.length} checks failed\n`);
    for (const { check } of failed) print(`  failed, as it must: ${check.name}\n`);
    for (const surprise of surprises) print(`  WRONG ${surprise}\n`);
    wrong += surprises.length;
  }
  return wrong;
}

function choosePlugins(bin: string | undefined): Plugins {
  const folder = bin === undefined ? builtPlugins : resolve(bin);
  if (!existsSync(join(folder, 'flannel'))) throw new Error(`--bin: no flannel in ${folder}`);
  return { bin: folder, names: [...NAMES, ...DELEGATES.filter((name) => existsSync(join(folder, name)))] };
}

async function runSite(plugins: Plugins, variant: Variant, tell: (line: string) => void): Promise<Outcome[]> {
  const site = await Site.make(plugins, variant);
  try {
    return await runChecks(site, checks, tell);
  } finally {
    await site.down();
  }
}

/** For a signal's handler. */
export async function endLabs(): Promise<void> {
  await endOwnedLabs();
}

function print(text: string): void {
  process.stdout.write(text);
}
