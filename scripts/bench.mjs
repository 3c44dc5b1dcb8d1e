// `npm run bench -- QUESTION`: bundles bench/main.ts, which Node 20 cannot run as it is, builds what the question
// measures with, and runs it.

import { spawnSync } from 'node:child_process';
import { mkdir, readdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { buildPrograms } from './build.mjs';
import { buildExecutable } from './build-executable.mjs';
import { run } from './command.mjs';
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

/** The C floor, compiled as anybody compiles a static program: the machine's compiler and C library. */
async function buildFloor() {
  const folder = join(repository, 'bench/floor');
  const sources = (await readdir(folder)).filter((name) => name.endsWith('.c')).map((name) => join(folder, name));
  const built = join(output, `.floor-${process.pid}`);
  await run('gcc', ['-O2', '-static', '-D_GNU_SOURCE', ...sources, '-o', built]);
  await rename(built, join(output, 'floor'));
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
