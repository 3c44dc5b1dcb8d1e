// Turns one TypeScript program into one static executable: esbuild bundles it to a classic script, qjsc
// compiles that to bytecode, and the host in cni-plugin/ links it with the engine. The entry module exports
// `main(): ProgramOutput` (lib/sys/host.ts), and whatever it imports is synchronous and free of Node.

import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from './command.mjs';
import { ensureEngine } from './engine.mjs';
import { saveHeap } from './heap-image.mjs';
import { profileHeap } from './heap-profile.mjs';

const { version: packageVersion } = createRequire(import.meta.url)('../package.json');
const HOST_FOLDER = fileURLToPath(new URL('../cni-plugin/', import.meta.url));
/** What the host is compiled from; host-check.c only in the sanitizer build. */
const HOST_SOURCES = ['host.c', 'host-functions.c', 'host-detach.c', 'host-heap.c', 'host-check.c'];
const HOST_HEADERS = ['host-functions.h', 'host-detach.h', 'host-heap.h', 'host-check.h', 'host.ld'];

/**
 * Compiles `entry` to `outFile` and resolves to what went into it. `arch` is x64 or arm64, this machine's when absent. `sanitize` makes the
 * dynamic build that checks every address given to the kernel. `profile` arranges the heap by what an ADD and a DEL use: only for the CNI
 * executable, and if the builder may make namespaces. Rejects with one line.
 */
export async function buildExecutable(entry, outFile, { arch = process.arch, sanitize = false, profile = false } = {}) {
  const engine = await ensureEngine({ arch, sanitize });
  const native = arch === process.arch && !sanitize ? engine : await ensureEngine();
  const id = await buildId(await bundleProgram(entry, { sanitize, id: '' }), engine);
  const script = await bundleProgram(entry, { sanitize, id });
  const outFolder = dirname(resolve(outFile));
  await mkdir(outFolder, { recursive: true });
  const work = await mkdtemp(join(outFolder, '.build-'));
  try {
    const bytecode = await compileScript(script, native.qjsc, work);
    await link(engine, work, { sanitize, version: `${packageVersion}+${id}` });
    const options = sanitize ? {} : await heapOptions(work, { arch, profile });
    if (!sanitize) await saveHeap(join(work, 'executable'), options);
    await rename(join(work, 'executable'), resolve(outFile));
    const record = { id, arch, bytecodeSha256: sha256(bytecode), profiled: options.profile !== undefined };
    return { ...record, ...engine.record };
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** Bundles the program into one classic script, whose only effect is to define the global `main`. */
async function bundleProgram(entry, { sanitize, id }) {
  // Imported here and not at the top, because set-up may have to install it first.
  const { build } = await import('esbuild');
  const result = await build({
    stdin: {
      contents: `import { main } from ${JSON.stringify(`./${basename(entry)}`)}; globalThis.main = main;`,
      resolveDir: dirname(resolve(entry)),
    },
    bundle: true,
    write: false,
    format: 'iife',
    platform: 'neutral',
    mainFields: ['module', 'main'],
    target: 'es2023',
    // Class fields become assignments, which cost half as much as definitions. No code here depends on the difference.
    tsconfigRaw: { compilerOptions: { useDefineForClassFields: false } },
    charset: 'utf8',
    minify: !sanitize,
    define: { WEFT_BUILD_ID: JSON.stringify(id) },
    logLevel: 'silent',
  }).catch((error) => {
    const [first] = error.errors ?? [];
    const place = first?.location ? ` (${first.location.file}:${first.location.line})` : '';
    throw new Error(`bundle ${entry}: ${first?.text ?? error.message}${place}`);
  });
  return result.outputFiles[0].text;
}

/** A build id of twelve hex digits. It changes with the program, the host or the engine, and is equal for both processors. */
async function buildId(script, engine) {
  const host = await Promise.all(
    [...HOST_SOURCES, ...HOST_HEADERS].map((name) => readFile(join(HOST_FOLDER, name), 'utf8')),
  );
  return sha256(JSON.stringify([script, host, engine.record.quickjs.sha256])).slice(0, 12);
}

function sha256(data) {
  return createHash('sha256').update(data).digest('hex');
}

async function compileScript(script, qjsc, work) {
  await writeFile(join(work, 'program.js'), script);
  // -s -s leaves out source and line numbers; -n keeps paths of this machine out of the bytecode.
  const options = ['-C', '-s', '-s', '-n', 'program', '-N', 'program', '-o', join(work, 'program.c')];
  await run(qjsc, [...options, join(work, 'program.js')]);
  return readFile(join(work, 'program.c'), 'utf8');
}

async function link(engine, work, { sanitize, version }) {
  const sources = HOST_SOURCES.filter((name) => sanitize || name !== 'host-check.c');
  const compile = (source, object) =>
    run(engine.cc, [...engine.cflags, `-DWEFT_VERSION="${version}"`, '-c', source, '-o', object]);
  const objects = ['program.c', ...sources].map((name) => join(work, name.replace(/\.c$/, '.o')));
  await Promise.all([
    compile(join(work, 'program.c'), objects[0]),
    ...sources.map((name, index) => compile(join(HOST_FOLDER, name), objects[index + 1])),
  ]);
  const output = join(work, 'executable');
  const layout = sanitize ? [] : ['-T', join(HOST_FOLDER, 'host.ld')];
  const inputs = [...layout, ...engine.startFiles, ...objects, engine.archive, ...engine.libraries];
  await run(engine.cc, [...engine.ldflags, ...inputs, '-o', output]);
  await chmod(output, 0o755);
}

async function heapOptions(work, { arch, profile }) {
  if (arch !== process.arch) return { emulator: emulatorFor(arch) };
  const file = join(work, 'profile');
  return profile && (await profileHeap(join(work, 'executable'), file)) ? { profile: file } : {};
}

/** The emulator that runs a program for another processor, which is needed to save its heap. Debian 13 and later name it without -static. */
function emulatorFor(arch) {
  const name = arch === 'arm64' ? 'qemu-aarch64' : 'qemu-x86_64';
  return (
    ['', '-static'].map((ending) => `/usr/bin/${name}${ending}`).find((file) => existsSync(file)) ?? `${name}-static`
  );
}
