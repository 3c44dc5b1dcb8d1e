// `npm run build`: dist/flanneld, JavaScript files with koffi.node and deadline.so beside them; dist/cni/flannel, one static executable;
// and dist/kubectl-weft, one JavaScript file. Only what changed is built again; `node scripts/build.mjs cni` builds one.
// `--arch arm64` or `amd64` builds for another processor than this one.

import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, copyFile, mkdir, readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { agentCache } from './agent-cache.mjs';
import { buildExecutable } from './build-executable.mjs';
import { bundlePlugin } from './build-plugin.mjs';
import { run } from './command.mjs';
import { ensureEngine } from './engine.mjs';

const repository = fileURLToPath(new URL('..', import.meta.url));
const dist = join(repository, 'dist');
const stampFile = join(dist, '.stamp.json');

const programs = {
  flanneld: {
    folders: ['flanneld', 'lib'],
    outputs: [
      'flanneld',
      'flanneld-agent.js',
      'flanneld-agent.cache',
      'flanneld-extra.js',
      'koffi.node',
      'deadline.so',
      'package.json',
    ],
    build: buildAgent,
  },
  cni: { folders: ['cni-plugin', 'lib'], outputs: ['cni/flannel', 'cni/BUILD.json'], build: buildPlugin },
  'kubectl-weft': {
    folders: ['flanneld', 'lib'],
    outputs: ['kubectl-weft', 'package.json'],
    build: buildKubectlPlugin,
  },
};

/** Node's name for a processor, from the name that images and Debian use. Throws an Error of one line for any other. */
export function nodeArch(name) {
  const arch = { amd64: 'x64', x64: 'x64', arm64: 'arm64' }[name];
  if (arch === undefined) throw new Error(`build: expected the processor amd64 or arm64, got "${name}"`);
  return arch;
}

/** Builds the programs named, or all, for this processor or `arch`. Rejects with one line that says what is wrong. */
export async function buildPrograms(names = Object.keys(programs), log = () => undefined, arch = process.arch) {
  const stamps = await readStamps();
  for (const name of names) {
    const program = programs[name];
    if (program === undefined) throw new Error(`build: no program ${name}: ${Object.keys(programs).join(' or ')}`);
    const stamp = await inputHash(program, arch);
    if (stamps[name] === stamp && program.outputs.every((file) => existsSync(join(dist, file)))) continue;
    await mkdir(dist, { recursive: true });
    log(await program.build(arch));
    await writeWhole(stampFile, `${JSON.stringify({ ...(await readStamps()), [name]: stamp }, null, 2)}\n`);
  }
}

async function readStamps() {
  const text = await readFile(stampFile, 'utf8').catch(() => '{}');
  return JSON.parse(text);
}

/** A hash of everything that a program is made from: its sources, the packages, the engine, and the build scripts. */
async function inputHash({ folders }, arch) {
  const hash = createHash('sha256')
    .update(`${process.version} ${arch}`)
    .update((await ensureEngine()).key);
  const files = await Promise.all([...folders, 'scripts'].map((folder) => sourceFiles(join(repository, folder))));
  for (const file of [join(repository, 'package-lock.json'), ...files.flat().sort()]) {
    hash.update(`\0${file}\0`).update(await readFile(file));
  }
  return hash.digest('hex');
}

async function sourceFiles(folder) {
  const entries = await readdir(folder, { withFileTypes: true, recursive: true });
  return entries
    .filter((entry) => entry.isFile() && /(?<!\.test)\.(ts|mjs|css|c|h|ld)$/.test(entry.name))
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name));
}

async function buildPlugin(arch) {
  const entry = join(repository, 'cni-plugin/main.ts');
  const record = await buildExecutable(entry, join(dist, 'cni/flannel'), { arch, profile: true });
  await writeWhole(join(dist, 'cni/BUILD.json'), `${JSON.stringify(record, null, 2)}\n`);
  return `dist/cni/flannel ${record.id} (QuickJS-ng ${record.quickjs.version}, ${record.arch}${record.profiled ? '' : ', heap not profiled'})`;
}

async function buildAgent(arch) {
  const draft = await bundleAgent('');
  const loader = await bundleLoader();
  const id = createHash('sha256')
    .update(loader)
    .update(draft.agent.program)
    .update(draft.extra)
    .digest('hex')
    .slice(0, 12);
  await copyWhole(koffiLibrary(arch), join(dist, 'koffi.node'));
  await compileDeadline(join(dist, 'deadline.so'), arch);
  await writePackageFile();
  const { agent, extra } = await bundleAgent(id);
  await writeWhole(join(dist, EXTRA), extra);
  await writeWhole(join(dist, 'flanneld-agent.js'), agent.program);
  // Only this processor's Node can make it. For another one the file is empty, and the agent compiles as it starts.
  const cache = arch === process.arch ? await cacheOf(agent) : '';
  await writeWhole(join(dist, 'flanneld-agent.cache'), cache);
  await writeWhole(join(dist, 'flanneld'), loader, 0o755);
  return `dist/flanneld ${id}`;
}

/** The code that ends the agent when its event loop hangs. It is linked with nothing, because it uses the C library of the process. */
async function compileDeadline(output, arch) {
  const { cc } = await ensureEngine({ arch });
  const temporary = `${output}.${process.pid}`;
  // -z now, because the handlers must not look functions up when they run.
  const options = ['-O2', '-fPIC', '-shared', '-nostdlib', '-fno-stack-protector', '-Wall', '-Werror', '-Wl,-s,-z,now'];
  await run(cc, [...options, join(repository, 'lib/sys/deadline.c'), '-o', temporary]);
  await rename(temporary, output);
}

async function buildKubectlPlugin() {
  const bundle = (id) => bundlePlugin(id, [leanKubernetes]).catch((error) => refuse('kubectl-weft', error));
  const id = createHash('sha256')
    .update(await bundle(''))
    .digest('hex')
    .slice(0, 12);
  await writePackageFile();
  await writeWhole(join(dist, 'kubectl-weft'), await bundle(id), 0o755);
  return `dist/kubectl-weft ${id}`;
}

/** The repository's package.json would make Node read a file without an extension as a module. */
async function writePackageFile() {
  await writeWhole(join(dist, 'package.json'), '{ "type": "commonjs" }\n');
}

/** Throws the bundler's error in one line. */
function refuse(program, error) {
  const [first] = error.errors ?? [];
  const place = first?.location ? ` (${first.location.file}:${first.location.line})` : '';
  throw new Error(`build: ${program}: ${first?.text ?? error.message}${place}`);
}

/** The file with the code that an agent at work does not need: reading it would cost each start processor time, and memory. */
const EXTRA = 'flanneld-extra.js';

/** What the Kubernetes client uses only for proxies, and for credentials that a cloud or an identity provider gives. */
const SELDOM = ['socks-proxy-agent', 'hpagent', 'openid-client', 'jsonpath-plus'];

/** Where distributions keep the certificate authorities that a machine trusts: the list of Go's crypto/x509. */
const ROOTS = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/pki/tls/cacert.pem',
  '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem',
  '/etc/ssl/cert.pem',
];

/**
 * In its first moments the agent needs most of what it allocates, so a collection then frees little and takes 30 ms. The agent collects
 * its garbage itself when it has come to rest (flanneld/agent/heap.ts).
 */
const HEAP = '--initial-heap-size=64';

/**
 * A shell reads the second line, and Node takes it for a string and a comment. With the machine's authorities Node need not read its own
 * ones (flanneld/subnet/roots.ts says why that is good). busybox's `env`, which is in the image, could not pass an option to Node.
 */
const FIRST_LINES = `#!/bin/sh
':' //; for file in "$SSL_CERT_FILE" ${ROOTS.join(' ')}; do if [ -f "$file" ]; then export SSL_CERT_FILE="$file"; exec node ${HEAP} --use-openssl-ca "$0" "$@"; fi; done; exec node ${HEAP} "$0" "$@"`;

/** The texts of the agent's program, with its source map, and of the other file. */
async function bundleAgent(id) {
  const modules = new Set();
  // The program is a function of what Node gives to a module, so that the loader can call it (flanneld/loader.ts).
  const frame = { banner: { js: '(function (require, __filename, __dirname) {' }, footer: { js: '})' } };
  const entry = { entryPoints: [join(repository, 'flanneld/main.ts')], ...frame, sourcemap: 'external', outdir: dist };
  const files = await bundleOf(entry, [withoutExtra(modules)], id);
  const commands = [...modules].sort().map((file) => `export * from ${JSON.stringify(file)};`);
  const packages = SELDOM.map((name) => `export * as ${identifier(name)} from '${name}';`);
  const stdin = { contents: [...commands, ...packages].join('\n'), resolveDir: repository };
  const [extra] = await bundleOf({ stdin }, [], id);
  return { agent: programOf(files), extra: extra.text };
}

/** Throws when the program has other characters than ASCII, because the loader reads it so. */
function programOf(files) {
  const textOf = (ending) => files.find(({ path }) => path.endsWith(ending)).text;
  const program = textOf('.js');
  const found = /[^\0-\x7f]/.exec(program);
  if (found !== null) throw new Error(`build: flanneld: not ASCII: "${found[0]}"`);
  return { program, map: JSON.parse(textOf('.map')) };
}

/** What dist/flanneld begins with: it runs the program. */
async function bundleLoader() {
  const entry = { entryPoints: [join(repository, 'flanneld/loader.ts')], banner: { js: FIRST_LINES } };
  const [loader] = await bundleOf(entry, [], '');
  return loader.text;
}

/** V8's code cache of the program, for the flags of V8 that the agent has. Without a source map it has all functions. */
export async function cacheOf({ program, map }) {
  const [engine] = await bundleOf({ entryPoints: [join(repository, 'flanneld/agent/engine.ts')] }, [], '');
  return await agentCache({ program, map, engine: engine.text, flags: [HEAP] });
}

/**
 * Makes the agent's file take from the other one what main.ts imports of the doctor when a sub-command needs it, and these packages
 * when one is first used. Notes the doctor's modules in `modules`.
 */
const withoutExtra = (modules) => ({
  name: 'without-extra',
  setup(plugins) {
    const extra = { path: `./${EXTRA}`, external: true };
    plugins.onResolve({ filter: /^\.\/doctor\// }, ({ path, resolveDir, kind }) => {
      if (kind !== 'dynamic-import') return undefined;
      modules.add(join(resolveDir, path));
      return extra;
    });
    plugins.onResolve({ filter: /^\.\/flanneld-extra\.js$/ }, () => extra);
    plugins.onResolve({ filter: new RegExp(`^(${SELDOM.join('|')})$`) }, ({ path }) => ({ path, namespace: 'seldom' }));
    plugins.onLoad({ filter: /.*/, namespace: 'seldom' }, async ({ path }) => {
      const names = Object.keys(await import(path)).filter((name) => /^[A-Za-z]\w*$/.test(name) && name !== 'default');
      const getters = names.map(
        (name) => `get ${name}() { return require('./${EXTRA}').${identifier(path)}.${name}; }`,
      );
      return { contents: `module.exports = { ${getters.join(', ')} };` };
    });
  },
});

/** A package's name as a name in JavaScript. */
function identifier(name) {
  return name.replaceAll('-', '_');
}

/** The files that esbuild makes. */
async function bundleOf(entry, plugins, id) {
  // Imported here and not at the top, because set-up may have to install it first.
  const { build } = await import('esbuild');
  const result = await build({
    ...entry,
    bundle: true,
    write: false,
    platform: 'node',
    format: 'cjs',
    target: 'node20',
    // Modules are loaded with require, also those that are imported when they are needed.
    supported: { 'dynamic-import': false },
    // Only white space is removed, so that names stay readable in stack traces that users report.
    minifyWhitespace: true,
    minifySyntax: true,
    legalComments: 'eof',
    external: ['raw-socket'],
    define: { WEFT_BUILD_ID: JSON.stringify(id) },
    plugins: [...plugins, koffiBeside, leanKubernetes, leanPino],
    logLevel: 'silent',
  }).catch((error) => refuse('flanneld', error));
  return result.outputFiles;
}

/** Makes the bundle load koffi's native half from the file beside it, instead of from node_modules. */
const koffiBeside = {
  name: 'koffi-beside',
  setup(plugins) {
    plugins.onResolve({ filter: /^koffi$/ }, () => ({ path: join(koffiFolder(), 'src/koffi/index.cjs') }));
    plugins.onResolve({ filter: /^\.\/koffi\.node$/ }, () => ({ path: './koffi.node', external: true }));
    plugins.onLoad({ filter: /koffi\/src\/koffi\/src\/static\.cjs$/ }, () => ({
      contents: "exports.loadStatic = () => require('./koffi.node');",
    }));
  },
};

/** Leaves out the Kubernetes client's calls and its fetch. The agent uses only its configuration and credentials. */
const leanKubernetes = {
  name: 'lean-kubernetes',
  setup(plugins) {
    const unused = "() => { throw new Error('not in this bundle'); }";
    plugins.onLoad({ filter: /@kubernetes\/client-node\/dist\/gen\/index\.js$/ }, () => ({
      contents: `export const ServerConfiguration = ${unused}; export const createConfiguration = ${unused};`,
    }));
    plugins.onResolve({ filter: /^node-fetch$/ }, () => ({ path: 'node-fetch', namespace: 'unused' }));
    plugins.onLoad({ filter: /.*/, namespace: 'unused' }, () => ({ contents: `export const Headers = ${unused};` }));
  },
};

/** Leaves out pino's transports, which write the log in other threads, and its files. The agent's log has a stream of its own. */
const leanPino = {
  name: 'lean-pino',
  setup(plugins) {
    plugins.onLoad({ filter: /\/pino\/lib\/transport\.js$/ }, () => ({
      contents: "module.exports = () => { throw new Error('not in this bundle'); };",
    }));
    // The agent gives pino a stream of its own. This package would make Node load `assert`, which opens stderr a second time.
    plugins.onResolve({ filter: /^sonic-boom$/ }, ({ path }) => ({ path, namespace: 'one-thread' }));
    plugins.onResolve({ filter: /^worker_threads$/ }, () => ({ path: 'worker_threads', namespace: 'one-thread' }));
    plugins.onLoad({ filter: /^worker_threads$/, namespace: 'one-thread' }, () => ({
      contents: 'module.exports = { isMainThread: true };',
    }));
    plugins.onLoad({ filter: /^sonic-boom$/, namespace: 'one-thread' }, () => ({
      contents: "module.exports = class { constructor() { throw new Error('not in this bundle'); } };",
    }));
  },
};

function koffiFolder() {
  return dirname(createRequire(import.meta.url).resolve('koffi'));
}

/** The path of koffi.node for this processor and this machine's C library. */
function koffiLibrary(arch) {
  const glibc = process.report.getReport().header.glibcVersionRuntime !== undefined;
  const platform = `${glibc ? 'linux' : 'musl'}_${arch}`;
  const file = join(koffiFolder(), `../@koromix/koffi-linux-${arch}`, platform, 'koffi.node');
  if (!existsSync(file)) throw new Error(`build: no ${file}: run npm ci`);
  return file;
}

/** Replaces a file in one step. No reader sees half of it, and a running program keeps the old file. */
async function writeWhole(path, text, mode = 0o644) {
  const temporary = `${path}.${process.pid}`;
  await writeFile(temporary, text, { mode });
  await chmod(temporary, mode);
  await rename(temporary, path);
}

async function copyWhole(from, to) {
  const temporary = `${to}.${process.pid}`;
  await copyFile(from, temporary);
  await rename(temporary, to);
}

/** Builds the programs named, or all. */
export async function main({ arch }, names) {
  const log = (line) => process.stdout.write(`${line}\n`);
  await buildPrograms(names.length === 0 ? undefined : names, log, arch && nodeArch(arch));
  return 0;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  try {
    const { values, positionals } = parseArgs({ allowPositionals: true, options: { arch: { type: 'string' } } });
    process.exitCode = await main(values, positionals);
  } catch (error) {
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 1;
  }
}
