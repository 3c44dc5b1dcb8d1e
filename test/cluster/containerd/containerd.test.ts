// The classic conflist end to end: `npm run suite -- containerd`. A real containerd, called the way kubelet calls it, starts pods through
// everything that happens to a node. Then flannel's own cluster tests run on every backend.

import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { builtPlugins } from '../../lab/programs.ts';
import { hasTun, tunNeeded } from '../../support/has-tun.ts';
import { needs } from '../../support/needs.ts';
import { suiteOption } from '../../support/suite-options.ts';
import { backendChecks, backends, startBackend } from './backends.ts';
import { type Check, judgeControl, runChecks } from './check.ts';
import { backendControls, type Control, podControls } from './controls.ts';
import { podChecks, startNodes } from './pod-checks.ts';
import { type Plugins, Site, type StartNodes } from './site.ts';

/** Checks that share a site, and the parts of it that can be broken. */
interface Suite {
  readonly name: string;
  readonly start: StartNodes;
  readonly checks: readonly Check<Site>[];
  readonly controls: readonly Control[];
  /** False when this machine's kernel lacks what the suite needs. */
  readonly isPossible: boolean;
}

const all: readonly Suite[] = [
  { name: 'pods', start: startNodes, checks: podChecks, controls: podControls, isPossible: true },
  ...backends.map((backend) => ({
    name: backend.name,
    start: (options: Parameters<StartNodes>[0]) => startBackend(backend, options),
    checks: backendChecks(backend),
    controls: backendControls,
    isPossible: !backend.needsTun || hasTun,
  })),
];

const wanted = suiteOption('suite');
const control = suiteOption('control');
const suites = all.filter(({ name }) => wanted === undefined || name === wanted);
if (suites.length === 0) throw new Error(`--suite: no "${wanted}" among ${all.map(({ name }) => name).join(', ')}`);
const broken = suites.flatMap((suite) =>
  suite.controls
    .filter(({ part }) => control === 'all' || part === control)
    .map((one) => ({ suite, control: one, part: one.part, what: one.what, on: suite.name })),
);
if (control !== undefined && broken.length === 0) {
  const parts = [...podControls, ...backendControls].map(({ part, what }) => `${part} (${what})`);
  throw new Error(`--control: no "${control}" among all, ${parts.join(', ')}`);
}

const timeout = 600_000;
const plugins = choosePlugins(suiteOption('bin'));

/** The plugins that the classic conflist and containerd execute. Go's flannel itself executes others, which then are in its folder. */
function choosePlugins(bin: string | undefined): Plugins {
  const folder = bin === undefined ? builtPlugins : resolve(bin);
  if (!existsSync(join(folder, 'flannel'))) throw new Error(`--bin: no flannel in ${folder}`);
  const delegates = ['bridge', 'host-local'].filter((name) => existsSync(join(folder, name)));
  return { bin: folder, names: ['flannel', 'portmap', 'loopback', ...delegates] };
}

/** Later checks use what earlier ones made, so they run in order on one site. */
describe.runIf(control === undefined).for(suites)('$name', ({ start, checks, isPossible }) => {
  let site: Site | undefined;

  beforeAll(async () => {
    if (isPossible) site = await Site.make(plugins, start, {});
  }, timeout);
  afterAll(() => site?.down(), timeout);
  beforeEach(() => needs.machine(isPossible, tunNeeded));

  test.for(checks)('$name', { timeout }, async (check) => {
    if (site === undefined) throw new Error('the site could not be made');
    await check.run(site);
  });
});

describe.runIf(control !== undefined)('with a part broken on purpose', () => {
  test.for(broken)('$on: when $what, exactly the checks that need $part fail', { timeout }, async (one) => {
    needs.machine(one.suite.isPossible, tunNeeded);
    const site = await Site.make(plugins, one.suite.start, one.control.variant(plugins.bin));
    try {
      const outcomes = await runChecks(site, one.suite.checks);
      expect(judgeControl(one.part, outcomes)).toEqual([]);
      expect(
        outcomes.filter(({ failure }) => failure !== undefined),
        'nothing needs this part',
      ).not.toEqual([]);
    } finally {
      await site.down();
    }
  });
});
