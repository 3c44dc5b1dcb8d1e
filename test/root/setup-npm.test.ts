// Set-up with real versions of npm: the installed one, and npm 10, which comes with Node 20 and does not know allowScripts. The
// packages they install are made here and come from a registry in this process. npm 10 itself comes from the real registry.

import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { copyFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { type CommandResult, runCommand } from '../lab/command.ts';
import { needs } from '../support/needs.ts';

const REPOSITORY = resolve(import.meta.dirname, '../..');
const LIMIT_MS = 120_000;
/** The packages, and whether each may run its install script. */
const PACKAGES = { allowed: true, forbidden: false };
const NAMES = Object.keys(PACKAGES);

let folder: string;
let registry: Server;
let here = '';
let ten: string | undefined;
let why = '';

/** Runs npm by its npm-cli.js. */
function npm(cli: string, args: readonly string[], cwd: string, ours = true): Promise<CommandResult> {
  const env = ours
    ? { ...process.env, npm_config_registry: registryUrl(), npm_config_cache: join(folder, 'cache') }
    : {};
  return runCommand([process.execPath, cli, ...args], { cwd, timeoutMs: LIMIT_MS, env: { ...process.env, ...env } });
}

function registryUrl(): string {
  return `http://127.0.0.1:${(registry.address() as AddressInfo).port}/`;
}

/** Makes the packages. Each one's install script writes its name to WEFT_RAN. */
async function packPackages(): Promise<void> {
  for (const name of NAMES) {
    mkdirSync(join(folder, name));
    const about = { name, version: '1.0.0', scripts: { install: `echo ${name} >>"$WEFT_RAN"` } };
    writeFileSync(join(folder, name, 'package.json'), JSON.stringify(about));
    expect(await npm(here, ['pack', '--ignore-scripts', `./${name}`], folder)).toMatchObject({ exitCode: 0 });
  }
}

/** A registry that answers what npm asks: a package's versions, then its archive. */
function serve(): Server {
  return createServer(({ url = '' }, response) => {
    const [name = ''] = url.slice(1).split('/');
    const file = join(folder, `${name}-1.0.0.tgz`);
    if (!existsSync(file)) response.writeHead(404).end('{}');
    else if (url.endsWith('.tgz')) response.end(readFileSync(file));
    else {
      const about = JSON.parse(readFileSync(join(folder, name, 'package.json'), 'utf8')) as object;
      const version = {
        ...about,
        hasInstallScript: true,
        dist: { tarball: `${registryUrl()}${name}/-/${name}-1.0.0.tgz` },
      };
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify({ name, 'dist-tags': { latest: '1.0.0' }, versions: { '1.0.0': version } }));
    }
  });
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'weft-npm-'));
  registry = serve();
  await new Promise<void>((listening) => void registry.listen(0, '127.0.0.1', listening));
  here = (await runCommand(['sh', '-c', 'readlink -f "$(command -v npm)"'])).stdout.trim();
  if (!here.endsWith('.js')) return;
  await packPackages();
  writeFileSync(join(folder, 'package.json'), '{}');
  const args = [
    'install',
    '--prefer-offline',
    '--ignore-scripts',
    '--no-audit',
    '--no-fund',
    '--fetch-retries=1',
    'npm@10',
  ];
  const { exitCode, stderr } = await npm(here, args, folder, false);
  if (exitCode === 0) ten = join(folder, 'node_modules/npm/bin/npm-cli.js');
  else why = stderr.split('\n').find((line) => /error/i.test(line)) ?? '';
}, LIMIT_MS);

afterAll(() => {
  registry.close();
  rmSync(folder, { recursive: true });
});

/** Makes a clone that has only these two packages. */
async function makeClone(): Promise<string> {
  const clone = mkdtempSync(join(tmpdir(), 'weft-npm-clone-'));
  onTestFinished(() => rmSync(clone, { recursive: true }));
  for (const name of ['scripts', 'bin']) mkdirSync(join(clone, name));
  for (const name of ['scripts/setup.mjs', '.npmrc']) await copyFile(join(REPOSITORY, name), join(clone, name));
  const dependencies = Object.fromEntries(NAMES.map((name) => [name, '1.0.0']));
  const about = { name: 'clone', version: '1.0.0', type: 'module', dependencies, allowScripts: PACKAGES };
  writeFileSync(join(clone, 'package.json'), JSON.stringify(about));
  const lock = await npm(here, ['install', '--package-lock-only', '--ignore-scripts'], clone);
  expect(lock).toMatchObject({ exitCode: 0 });
  // An imitated dpkg-query says that all Debian packages are installed.
  const played = ['#!/bin/sh', 'for each; do echo "$each installed"; done', ''].join('\n');
  writeFileSync(join(clone, 'bin/dpkg-query'), played, { mode: 0o755 });
  return clone;
}

/** The packages whose scripts ran during `run` in a clone. */
async function scriptsOf(run: (clone: string) => Promise<CommandResult>): Promise<string[]> {
  const clone = await makeClone();
  const ran = join(clone, 'ran');
  process.env['WEFT_RAN'] = ran;
  expect(await run(clone)).toMatchObject({ exitCode: 0 });
  for (const name of NAMES) expect(existsSync(join(clone, 'node_modules', name, 'package.json'))).toBe(true);
  return existsSync(ran) ? readFileSync(ran, 'utf8').trim().split('\n').sort() : [];
}

/** Runs set-up as `npm run setup` does with that npm. */
async function setUpWith(cli: string, clone: string): Promise<CommandResult> {
  const result = await runCommand([process.execPath, join(clone, 'scripts/setup.mjs')], {
    timeoutMs: LIMIT_MS,
    env: {
      ...process.env,
      npm_execpath: cli,
      npm_config_registry: registryUrl(),
      npm_config_cache: join(folder, 'cache'),
      PATH: `${join(clone, 'bin')}:${process.env['PATH']}`,
    },
  });
  expect(result.stderr).toBe('setup: installing node_modules (npm ci)\n');
  return result;
}

test('set-up with npm 10 runs the install scripts that allowScripts allows, and no other', async () => {
  needs.machine(ten !== undefined, `npm 10 from the registry (${why})`);
  const cli = ten ?? '';
  expect((await npm(cli, ['--version'], folder)).stdout).toMatch(/^10\./);
  expect(await scriptsOf((clone) => setUpWith(cli, clone))).toEqual(['allowed']);
});

test('npm ci of npm 10 alone runs the forbidden scripts as well (control)', async () => {
  needs.machine(ten !== undefined, `npm 10 from the registry (${why})`);
  expect(await scriptsOf((clone) => npm(ten ?? '', ['ci'], clone))).toEqual(['allowed', 'forbidden']);
});

test('set-up with the npm of this machine does the same as with npm 10', async () => {
  needs.setUp(here.endsWith('.js'), 'npm on PATH');
  expect(await scriptsOf((clone) => setUpWith(here, clone))).toEqual(['allowed']);
});
