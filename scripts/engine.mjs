// The engine the CNI executable is linked with: QuickJS-ng 0.17 and the C library musl, neither of them in
// this repository. Both come from Debian's forky through the machine's own mirror, verified by apt, or from
// folders named by QUICKJS_SRC and MUSL_DEV. What is compiled is kept outside the repository.
//
// musl, because glibc's static start-up executes dozens of CPUID instructions, and each one leaves a virtual
// machine: 0.28 ms of every execution. Its malloc does not matter: cni-plugin/host-heap.c replaces it.

import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { cacheFolder, run } from './command.mjs';
import { fetchDebianPackages } from './debian.mjs';

const ENGINE_VERSION = /^0\.17\./;
const ENGINE_FILES = ['quickjs', 'libregexp', 'libunicode', 'dtoa'];

const TARGETS = {
  x64: { debian: 'amd64', musl: 'x86_64-linux-musl', gcc: 'x86_64-linux-gnu-gcc' },
  arm64: { debian: 'arm64', musl: 'aarch64-linux-musl', gcc: 'aarch64-linux-gnu-gcc' },
};

/**
 * The compiled engine for one target, which is made first if it is not in the cache. Rejects with one line that says what to install or
 * set. May run twice at once: each publishes a whole folder by one rename. `log` is called before steps that take long.
 */
export async function ensureEngine({ arch = process.arch, sanitize = false, log } = {}) {
  const target = TARGETS[arch];
  if (target === undefined) throw new Error(`no CNI executable for processor ${arch}: x64 or arm64 is needed`);
  const sources = await engineSources(target, arch, sanitize);
  const compiler = await chooseCompiler(target, arch);
  const cflags = compileFlags(sources, compiler, sanitize, arch);
  const key = engineKey(sources, compiler, cflags);
  const folder = join(cacheFolder(), 'engine', key);
  if (!existsSync(folder)) {
    log?.(`compiling QuickJS-ng ${sources.quickjs.version} for ${arch}`);
    await compileEngine({ folder, sources, compiler, cflags, sanitize, arch });
  }
  return {
    key,
    cc: compiler.cc,
    ar: compiler.ar,
    cflags: [...cflags, `-DHOST_ARCH="${arch}"`, '-isystem', sources.quickjs.folder],
    archive: join(folder, 'libquickjs.a'),
    qjsc: join(folder, 'qjsc'),
    startFiles: sanitize ? [] : ['crt1.o', 'crti.o'].map((name) => join(sources.musl.lib, name)),
    libraries: libraries(sources, compiler, sanitize),
    ldflags: linkFlags(sanitize),
    record: {
      quickjs: { version: sources.quickjs.version, package: sources.quickjs.package, sha256: sources.quickjs.sha256 },
      musl: sanitize ? null : { package: sources.musl.package, sha256: sources.musl.sha256 },
      compiler: compiler.version,
    },
  };
}

async function engineSources(target, arch, sanitize) {
  const wanted = sanitize ? ['qjs-src'] : ['qjs-src', 'musl-dev'];
  const ownFolder = process.env['QUICKJS_SRC'];
  const packages = ownFolder === undefined ? await fetchPackages(wanted, target.debian) : {};
  const quickjs = await describeQuickjs(ownFolder, packages['qjs-src']);
  return { quickjs, musl: sanitize ? undefined : await describeMusl(target, arch, packages['musl-dev']) };
}

async function fetchPackages(names, architecture) {
  try {
    return await fetchDebianPackages(names, architecture);
  } catch (error) {
    const advice = 'or set QUICKJS_SRC and MUSL_DEV to folders with the sources';
    throw new Error(`engine: ${error.message}, ${advice}`, { cause: error });
  }
}

async function describeQuickjs(ownFolder, debian) {
  const folder = ownFolder ?? join(debian.folder, 'usr/src/quickjs-ng');
  const header = await readFile(join(folder, 'quickjs.h'), 'utf8').catch(() => '');
  const version = ['MAJOR', 'MINOR', 'PATCH'].map((part) => defined(header, `QJS_VERSION_${part}`)).join('.');
  if (!ENGINE_VERSION.test(version)) {
    const found = version === '..' ? 'no QuickJS-ng' : `QuickJS-ng ${version}`;
    throw new Error(`engine: ${found} in ${folder}, 0.17 is needed: set QUICKJS_SRC to a folder with its sources`);
  }
  return { folder, version, package: debian?.name ?? `folder ${folder}`, sha256: await folderHash(folder) };
}

function defined(header, name) {
  return new RegExp(`#define ${name} (\\d+)`).exec(header)?.[1] ?? '';
}

async function describeMusl(target, arch, debian) {
  const root = debian?.folder ?? process.env['MUSL_DEV'] ?? '/';
  const lib = join(root, 'usr/lib', target.musl);
  const archive = await readFile(join(lib, 'libc.a')).catch(() => undefined);
  if (archive === undefined) {
    throw new Error(`engine: no musl for ${arch} in ${lib}: install musl-dev or set MUSL_DEV to where it is unpacked`);
  }
  return {
    lib,
    include: join(root, 'usr/include', target.musl),
    package: debian?.name ?? `folder ${root}`,
    sha256: createHash('sha256').update(archive).digest('hex'),
  };
}

async function chooseCompiler(target, arch) {
  const cross = arch !== process.arch;
  const cc = cross ? target.gcc : 'gcc';
  const version = await run(cc, ['--version']).catch(() => undefined);
  if (version === undefined) throw new Error(`engine: no ${cc}: install ${cross ? `gcc-${cc.slice(0, -4)}` : 'gcc'}`);
  const libgcc = (await run(cc, ['-print-libgcc-file-name'])).trim();
  const include = (await run(cc, ['-print-file-name=include'])).trim();
  return { cc, ar: cross ? cc.replace(/gcc$/, 'ar') : 'ar', version: version.split('\n')[0], libgcc, include };
}

function compileFlags(sources, compiler, sanitize, arch) {
  const common = ['-std=gnu11', '-D_GNU_SOURCE', '-w'];
  if (sanitize) {
    const checks = ['-fsanitize=address,undefined', '-fno-sanitize-recover=undefined', '-fno-omit-frame-pointer'];
    return [...common, '-O1', '-g', ...checks, '-DHOST_CHECK'];
  }
  return [
    ...common,
    '-O2',
    // Without NDEBUG the engine checks before each operation whether to print it.
    '-DNDEBUG',
    '-fno-pie',
    // Switches the engine's own allocator for small blocks off, because cni-plugin/host-heap.c decides where each block lies.
    '-D__SANITIZE_ADDRESS__',
    '-fno-asynchronous-unwind-tables',
    '-ffunction-sections',
    '-fdata-sections',
    // libgcc's out-of-line atomics need glibc to find out which kind the processor has.
    ...(arch === 'arm64' ? ['-mno-outline-atomics'] : []),
    ...['-nostdinc', '-isystem', sources.musl.include, '-isystem', compiler.include],
  ];
}

function linkFlags(sanitize) {
  if (sanitize) return ['-fsanitize=address,undefined'];
  // Saves a segment to map. There is no relocation, so nothing must be protected after it.
  const layout = ['-Wl,-z,noseparate-code', '-Wl,-z,norelro', '-Wl,--gc-sections', '-Wl,--build-id=none', '-s'];
  return ['-static', '-no-pie', '-nostdlib', '-nostartfiles', ...layout];
}

function libraries(sources, compiler, sanitize) {
  if (sanitize) return ['-lm'];
  return [join(sources.musl.lib, 'libc.a'), compiler.libgcc, join(sources.musl.lib, 'crtn.o')];
}

function engineKey(sources, compiler, cflags) {
  const facts = [sources.quickjs.sha256, sources.musl?.sha256, compiler.version, ...cflags, ...linkFlags(false)];
  return createHash('sha256').update(JSON.stringify(facts)).digest('hex').slice(0, 24);
}

async function folderHash(folder) {
  const hash = createHash('sha256');
  for (const name of (await readdir(folder)).filter((file) => /\.[ch]$/.test(file)).sort()) {
    hash.update(`${name}\0`).update(await readFile(join(folder, name)));
  }
  return hash.digest('hex');
}

async function compileEngine({ folder, sources, compiler, cflags, sanitize, arch }) {
  await mkdir(join(cacheFolder(), 'engine'), { recursive: true });
  const work = await mkdtemp(join(cacheFolder(), 'engine', 'work-'));
  try {
    const compile = (name) =>
      run(compiler.cc, [...cflags, '-c', join(sources.quickjs.folder, `${name}.c`), '-o', join(work, `${name}.o`)]);
    const native = !sanitize && arch === process.arch;
    // The largest file is compiled first, because it takes as long as all the others together.
    await Promise.all([...ENGINE_FILES, ...(native ? ['qjsc', 'quickjs-libc'] : [])].map(compile));
    const objects = ENGINE_FILES.map((name) => join(work, `${name}.o`));
    await run(compiler.ar, ['rcs', join(work, 'libquickjs.a'), ...objects]);
    if (native) await linkCompiler(work, sources, compiler);
    await Promise.all((await readdir(work)).filter((name) => name.endsWith('.o')).map((name) => rm(join(work, name))));
    await writeFile(join(work, 'flags.json'), `${JSON.stringify({ cflags, compiler: compiler.version }, null, 2)}\n`);
    await publish(work, folder);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** Links qjsc, which runs only on this machine. musl's static dlopen, which always fails, is enough for it. */
async function linkCompiler(work, sources, compiler) {
  const start = ['crt1.o', 'crti.o'].map((name) => join(sources.musl.lib, name));
  const objects = ['qjsc.o', 'quickjs-libc.o', 'libquickjs.a'].map((name) => join(work, name));
  const rest = libraries(sources, compiler, false);
  await run(compiler.cc, [...linkFlags(false), ...start, ...objects, ...rest, '-o', join(work, 'qjsc')]);
}

/** Renames a finished folder into place. If another process was faster, that one's folder stays. */
export async function publish(work, folder) {
  try {
    await rename(work, folder);
  } catch (error) {
    if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error;
  }
}

/**
 * The engine for this processor, which every build needs for the bytecode compiler, and for the one that `--arch amd64` or `arm64` names.
 */
async function main() {
  const { values } = parseArgs({ options: { arch: { type: 'string' } } });
  await ensureEngine();
  if (values.arch !== undefined) await ensureEngine({ arch: values.arch === 'amd64' ? 'x64' : values.arch });
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  main().catch((error) => {
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 1;
  });
}
