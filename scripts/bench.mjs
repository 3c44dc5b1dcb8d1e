// `npm run bench`: bundles bench/main.ts, since Node 20 cannot run TypeScript, builds the programs that the chosen parts measure with,
// and runs the bench.

import { spawnSync } from 'node:child_process';
import { mkdir, readdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { main as benchKind } from './bench-kind.mjs';
import { bundleReport } from './bench-report.mjs';
import { buildPrograms } from './build.mjs';
import { buildExecutable } from './build-executable.mjs';
import { run } from './command.mjs';
import { bundleLab } from './lab-bundle.mjs';
import { ensurePackages } from './setup.mjs';
import { runVitest } from './vitest-suite.mjs';

const repository = fileURLToPath(new URL('..', import.meta.url));
const output = join(repository, 'dist/bench');

/** Makes dist/bench/main.mjs and what its reports are made with. */
export async function bundleBench() {
  await mkdir(output, { recursive: true });
  const { build } = await import('esbuild');
  await writeFile(join(output, 'report.js'), await bundleReport());
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

/** Compiles the C floor as a usual static program, with the machine's compiler and C library. */
async function buildFloor() {
  const folder = join(repository, 'bench/floor');
  const sources = (await readdir(folder)).filter((name) => name.endsWith('.c')).map((name) => join(folder, name));
  const built = join(output, `.floor-${process.pid}`);
  await run('gcc', ['-O2', '-static', '-D_GNU_SOURCE', ...sources, '-o', built]);
  await rename(built, join(output, 'floor'));
}

/** What must be built or installed for each part. */
const BUILDS = {
  start: ['cni'],
  cni: ['cni', 'driver', 'floor', 'plugins'],
  where: ['cni', 'driver', 'floor'],
  packet: ['cni', 'flanneld', 'lab', 'floor', 'plugins'],
  peers: ['flanneld'],
  nodes: ['cni', 'flanneld', 'lab'],
  'nodes-start': ['cni', 'flanneld', 'lab'],
  'nodes-changes': ['cni', 'flanneld', 'lab'],
  throughput: ['cni', 'flanneld', 'lab', 'iperf3'],
  'fast-path': ['cni', 'flanneld', 'lab'],
  faults: ['cni', 'flanneld', 'lab'],
  backends: ['cni', 'flanneld', 'lab'],
  cluster: [],
};

/** Debian packages that only the bench needs, by what they are needed for. */
const PACKAGES = {
  iperf3: { iperf3: 'iperf3' },
  plugins: { 'containernetworking-plugins': '/usr/lib/cni/bridge' },
};

/** Installs these packages. When one cannot be installed, the part that needs it says so and the others go on. */
function installFor(wanted) {
  for (const [name, packages] of Object.entries(PACKAGES)) {
    try {
      if (wanted.has(name)) ensurePackages(packages);
    } catch (error) {
      process.stderr.write(`bench: ${error.message}\n`);
    }
  }
}

/** Commands that measure nothing. */
const READING = ['compare', 'table', 'report'];

async function buildFor(args, isComparison) {
  if (isComparison || READING.includes(args[0])) return;
  const named = Object.keys(BUILDS).filter((part) => args.includes(part));
  const wanted = new Set((named.length > 0 ? named : Object.keys(BUILDS)).flatMap((part) => BUILDS[part]));
  const programs = ['cni', 'flanneld'].filter((program) => wanted.has(program));
  installFor(wanted);
  await Promise.all([
    buildPrograms(programs),
    wanted.has('driver') && buildExecutable(join(repository, 'bench/cni/driver.ts'), join(output, 'cni-driver')),
    wanted.has('floor') && buildFloor(),
    wanted.has('lab') && bundleLab(),
  ]);
}

/** Runs the tests of `npm run bench -- selftest`, after building everything they measure with. */
async function selftest(files) {
  await Promise.all([buildPrograms(['cni', 'flanneld']), bundleLab()]);
  const wanted = files.length > 0 ? files : ['test/root/bench-'];
  return await runVitest(wanted);
}

/** Puts the original command line together again. bench/options.ts parses it once more, because only it knows the parts. */
function commandLine(values, words) {
  const options = Object.entries(values).map(([name, value]) => (value === true ? `--${name}` : `--${name}=${value}`));
  return [...words, ...options];
}

export async function main(values, words) {
  if (words[0] === 'selftest') return await selftest(words.slice(1));
  if (words[0] === 'kind') return benchKind(values.quick ? ['--quick'] : []);
  await mkdir(output, { recursive: true });
  await Promise.all([bundleBench(), buildFor(words, values.compare !== undefined)]);
  const command = ['--enable-source-maps', join(output, 'main.mjs'), ...commandLine(values, words)];
  const { status } = spawnSync(process.execPath, command, { cwd: repository, stdio: 'inherit' });
  return status ?? 1;
}
