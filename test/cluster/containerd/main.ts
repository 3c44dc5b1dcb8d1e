// `npm run suite -- containerd` tests the classic conflist end to end. A real containerd, called the way kubelet calls it, starts pods
// through everything that happens to a node. Then flannel's own cluster tests run on every backend.

import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { endOwnedLabs } from '../../lab/launch.ts';
import { builtPlugins } from '../../lab/programs.ts';
import { hasTun, tunNeeded } from '../../support/has-tun.ts';
import { backendChecks, backends, startBackend } from './backends.ts';
import { type Check, judgeControl, type Outcome, runChecks } from './check.ts';
import { backendControls, type Control, podControls } from './controls.ts';
import { podChecks, startNodes } from './pod-checks.ts';
import { type Plugins, Site, type StartNodes, type Variant } from './site.ts';

/** Checks that share a site, and the parts of it that can be broken. */
interface Suite {
  readonly name: string;
  readonly start: StartNodes;
  readonly checks: readonly Check<Site>[];
  readonly controls: readonly Control[];
  /** What this machine lacks, so that the suite is left out. */
  readonly lacks?: string | undefined;
}

const suites: readonly Suite[] = [
  { name: 'pods', start: startNodes, checks: podChecks, controls: podControls },
  ...backends.map((backend) => ({
    name: backend.name,
    start: (options: Parameters<StartNodes>[0]) => startBackend(backend, options),
    checks: backendChecks(backend),
    controls: backendControls,
    lacks: backend.needsTun && !hasTun ? tunNeeded : undefined,
  })),
];

/** The parts that `--control` may name. */
const PARTS = [...podControls, ...backendControls].map(({ part, what }) => `${part} (${what})`).join(', ');

/** The plugins that the classic conflist and containerd execute. Go's flannel itself executes others. */
const NAMES = ['flannel', 'portmap', 'loopback'];
const DELEGATES = ['bridge', 'host-local'];

/** The options that scripts/commands.mjs declares. */
interface Values {
  readonly suite?: string;
  readonly bin?: string;
  readonly control?: string;
}

/** Returns the exit code: 0 when every check had the right outcome. */
export async function main(values: Values): Promise<number> {
  const plugins = choosePlugins(values.bin);
  const named = suites.filter(({ name }) => values.suite === undefined || name === values.suite);
  if (named.length === 0) {
    throw new Error(`--suite: no "${values.suite}" among ${suites.map(({ name }) => name).join(', ')}`);
  }
  const chosen = named.filter(({ lacks }) => lacks === undefined);
  for (const { name, lacks } of named) if (lacks !== undefined) print(`${name}: left out, it needs ${lacks}\n`);
  const wrong = await (values.control === undefined
    ? run(plugins, chosen)
    : runControls(plugins, chosen, values.control));
  return wrong === 0 ? 0 : 1;
}

/** Returns how many checks failed. */
async function run(plugins: Plugins, chosen: readonly Suite[]): Promise<number> {
  const startMs = performance.now();
  const outcomes: Outcome[] = [];
  for (const suite of chosen) {
    print(`\n${suite.name}\n`);
    outcomes.push(...(await runSuite(plugins, suite, {}, (line) => print(`${line}\n`))));
  }
  const failed = outcomes.filter(({ failure }) => failure !== undefined).length;
  const seconds = ((performance.now() - startMs) / 1000).toFixed(0);
  print(`\n${outcomes.length} checks, ${failed} failed, ${seconds} s\n`);
  return failed;
}

/** Breaks each part in turn. Returns how many checks did not have the outcome that the broken part must cause. */
async function runControls(plugins: Plugins, chosen: readonly Suite[], wanted: string): Promise<number> {
  const broken = chosen.flatMap((suite) => {
    return suite.controls
      .filter(({ part }) => wanted === 'all' || part === wanted)
      .map((control) => ({ suite, control }));
  });
  if (broken.length === 0) throw new Error(`--control: no "${wanted}" among all, ${PARTS}`);
  let wrong = 0;
  for (const { suite, control } of broken) {
    const outcomes = await runSuite(plugins, suite, control.variant(plugins.bin), () => undefined);
    const failed = outcomes.filter(({ failure }) => failure !== undefined);
    const surprises = judgeControl(control.part, outcomes);
    print(
      `${suite.name}, control ${control.part} (${control.what}): ${failed.length} of ${outcomes.length} checks failed\n`,
    );
    for (const { check } of failed) print(`  failed, as it must: ${check.name}\n`);
    for (const surprise of surprises) print(`  WRONG ${surprise}\n`);
    wrong += surprises.length;
  }
  print(`\n${broken.length} controls, ${wrong} checks otherwise than they must be\n`);
  return wrong;
}

function choosePlugins(bin: string | undefined): Plugins {
  const folder = bin === undefined ? builtPlugins : resolve(bin);
  if (!existsSync(join(folder, 'flannel'))) throw new Error(`--bin: no flannel in ${folder}`);
  return { bin: folder, names: [...NAMES, ...DELEGATES.filter((name) => existsSync(join(folder, name)))] };
}

async function runSuite(
  plugins: Plugins,
  { start, checks }: Suite,
  variant: Variant,
  tell: (line: string) => void,
): Promise<Outcome[]> {
  const site = await Site.make(plugins, start, variant);
  try {
    return await runChecks(site, checks, tell);
  } finally {
    await site.down();
  }
}

/** Ends all labs. It is called by a signal handler. */
export async function endLabs(): Promise<void> {
  await endOwnedLabs();
}

function print(text: string): void {
  process.stdout.write(text);
}
