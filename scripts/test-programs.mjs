// The programs that tests run as processes of their own: bundled for Node, or compiled to an executable like the CNI plugin's. On an
// emulated processor a compiler takes minutes, so what runs there is compiled beforehand.

import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildExecutable } from './build-executable.mjs';

const repository = fileURLToPath(new URL('..', import.meta.url));

/** What the tests of the kernel compile. A program that is missing here is compiled where the test runs. */
const EXECUTABLES = [
  ['test/root/fixtures/objects.ts'],
  ['test/root/fixtures/commands.ts'],
  ['test/root/fixtures/delete-link.ts'],
  ['test/root/fixtures/lib-program.ts'],
  ['test/root/fixtures/endings.ts'],
  ['cni-plugin/main.ts'],
  ['cni-plugin/main.ts', { profile: true }],
];
const BUNDLES = [
  'test/root/fixtures/echoes-node.ts',
  'test/root/fixtures/objects-node.ts',
  'test/root/fixtures/watch-node.ts',
];

/** Compiles all of them into `folder`, where compileTestProgram and bundleTestProgram find them. */
export async function prepareTestPrograms(folder) {
  await mkdir(folder, { recursive: true });
  for (const [entry, options = {}] of EXECUTABLES) {
    const path = preparedPath(folder, entry, options);
    const record = await buildExecutable(join(repository, entry), path, options);
    await writeFile(`${path}.json`, JSON.stringify(record));
  }
  for (const entry of BUNDLES) await bundle(join(repository, entry), preparedPath(folder, entry, {}));
}

/** Compiles `entry` to `outFile`, or copies what was prepared, and resolves to what buildExecutable says of it. */
export async function compileTestProgram(entry, outFile, options, folder) {
  const path = prepared(folder, entry, options);
  if (path === undefined) return await buildExecutable(entry, outFile, options);
  await copyFile(path, outFile);
  return JSON.parse(await readFile(`${path}.json`, 'utf8'));
}

/** Bundles `entry` to `outFile`, or copies what was prepared. */
export async function bundleTestProgram(entry, outFile, folder) {
  const path = prepared(folder, entry, {});
  if (path === undefined) await bundle(entry, outFile);
  else await copyFile(path, outFile);
}

function prepared(folder, entry, options) {
  if (folder === undefined) return undefined;
  const path = preparedPath(folder, relative(repository, entry), options);
  return existsSync(path) ? path : undefined;
}

function preparedPath(folder, entry, options) {
  const key = createHash('sha256')
    .update(JSON.stringify([entry, options]))
    .digest('hex')
    .slice(0, 8);
  return join(folder, `${entry.replaceAll('/', '-')}-${key}`);
}

async function bundle(entry, outfile) {
  const { build } = await import('esbuild');
  // The bundle lies outside of the repository, so a package that it does not contain is imported by its absolute path.
  const koffi = createRequire(import.meta.url).resolve('koffi');
  await build({
    entryPoints: [entry],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    alias: { koffi },
    external: [koffi],
    logLevel: 'warning',
  });
}
