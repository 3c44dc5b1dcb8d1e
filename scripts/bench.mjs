// `npm run bench -- QUESTION`: bundles bench/main.ts, which Node 20 cannot run as it is, builds what the question
// measures with, and runs it.

import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { buildPrograms } from './build.mjs';
import { buildExecutable } from './build-executable.mjs';
import { run } from './command.mjs';
import { ensureEngine } from './engine.mjs';
import { bundleLab } from './lab-bundle.mjs';

const repository = fileURLToPath(new URL('..', import.meta.url));
const output = join(repository, 'dist/bench');

async function bundleQuestions() {
  await build({
    entryPoints: [join(repository, 'bench/main.ts')],
    outfile: join(output, 'main.mjs'),
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'esm',
    packages: 'external',
    logLevel: 'warning',
  });
}

/** The C floor, linked with the same C library and flags as the CNI executable's host. */
async function buildFloor() {
  const engine = await ensureEngine();
  const folder = join(repository, 'bench/floor');
  const sources = (await readdir(folder)).filter((name) => name.endsWith('.c'));
  const work = await mkdtemp(join(output, '.floor-'));
  try {
    const objects = sources.map((name) => join(work, `${name}.o`));
    // For the kernel's own headers, which musl's package has not.
    const multiarch = (await run(engine.cc, ['-print-multiarch'])).trim();
    const include = ['/usr/include', `/usr/include/${multiarch}`].flatMap((path) => ['-idirafter', path]);
    await Promise.all(
      sources.map((name, index) =>
        run(engine.cc, [...engine.cflags, ...include, '-c', join(folder, name), '-o', objects[index]]),
      ),
    );
    const parts = [...engine.startFiles, ...objects, ...engine.libraries];
    await run(engine.cc, [...engine.ldflags, ...parts, '-o', join(work, 'floor')]);
    await rename(join(work, 'floor'), join(output, 'floor'));
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** What each question measures besides the sources it is made of. */
const NEEDS = {
  start: () => [buildPrograms(['cni'])],
  cni: () => [
    buildPrograms(['cni']),
    buildExecutable(join(repository, 'bench/cni/driver.ts'), join(output, 'cni-driver')),
    buildFloor(),
  ],
  peers: () => [buildPrograms(['flanneld'])],
  packet: () => [buildPrograms(['cni', 'flanneld']), bundleLab()],
};

async function main(args) {
  await mkdir(output, { recursive: true });
  const question = args.find((arg) => arg in NEEDS);
  await Promise.all([bundleQuestions(), ...(question === undefined ? [] : NEEDS[question]())]);
  const command = ['--enable-source-maps', join(output, 'main.mjs'), ...args];
  const { status } = spawnSync(process.execPath, command, { cwd: repository, stdio: 'inherit' });
  return status ?? 1;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`bench: ${error.message}\n`);
  process.exitCode = 1;
}
