// Makes this machine look like a fresh one: in a mount namespace, programs that neither Debian's base system nor set-up installed are
// hidden from search paths. `node scripts/fresh.mjs COMMAND…` runs a command there, as root. dpkg's data decides: a program stays if its
// package is essential or required, contains Node or npm, is installed by set-up, or is a dependency of one of these. Everything else in
// the folders below is hidden, and variables that lead to other folders are unset.
import { spawnSync } from 'node:child_process';
import { existsSync, linkSync, mkdirSync, mkdtempSync, readdirSync, realpathSync, rmdirSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runToEnd } from './command.mjs';
import { PACKAGES } from './setup.mjs';

const self = fileURLToPath(import.meta.url);
const STANDARD_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
/** Where runtimes search for CNI executables. Set-up installs nothing there. */
const PLUGIN_FOLDERS = ['/opt/cni/bin', '/usr/lib/cni'];
/** Variables that name folders with programs, for tests. */
const VARIABLES = ['KUBEBUILDER_ASSETS', 'CNI_PATH', 'CNI_REFERENCE_BIN'];
/** The programs that come with Node, however it was installed. */
const NODE_PROGRAMS = new Set(['node', 'npm', 'npx', 'corepack']);

/**
 * The fields of a package that are read from dpkg. `provides` has its own and its virtual names, `needs` the alternatives of each
 * dependency.
 */
const FIELDS = ['Package', 'Essential', 'Priority', 'Provides', 'Pre-Depends', 'Depends'];

/** Parses dpkg-query's output, which has an installed package on each line, with fields separated by tabs. */
export function parsePackages(text) {
  const lines = text.split('\n').filter((line) => line !== '');
  return lines.map((line) => {
    const [name, essential, priority, provides, preDepends, depends] = line.split('\t');
    return {
      name,
      isBase: essential === 'yes' || priority === 'required' || name === 'apt',
      provides: [name, ...relations(provides).flat()],
      needs: [...relations(preDepends), ...relations(depends)],
    };
  });
}

/** Parses dependencies: `a (>= 1) | b:any, c` gives [[a, b], [c]]. */
function relations(text = '') {
  const names = (group) => group.split('|').map((one) => one.trim().replace(/[ :(].*$/, ''));
  return text
    .split(',')
    .map(names)
    .filter(([first]) => first !== '');
}

/** The base system's packages, `wanted`, and all their dependencies. Of alternatives, every installed one counts. */
export function withDependencies(packages, wanted) {
  const providers = new Map();
  for (const one of packages) {
    for (const name of one.provides) providers.set(name, [...(providers.get(name) ?? []), one]);
  }
  const found = new Set();
  const todo = [...packages.filter(({ isBase }) => isBase), ...wanted.flatMap((name) => providers.get(name) ?? [])];
  for (let one = todo.pop(); one !== undefined; one = todo.pop()) {
    if (found.has(one.name)) continue;
    found.add(one.name);
    todo.push(...one.needs.flat().flatMap((name) => providers.get(name) ?? []));
  }
  return found;
}

function dpkgQuery(args) {
  const options = { encoding: 'utf8', maxBuffer: 1 << 28, stdio: ['ignore', 'pipe', 'pipe'] };
  const { stdout, error } = spawnSync('dpkg-query', args, options);
  if (error !== undefined) throw new Error(`dpkg-query cannot say what belongs to a fresh machine: ${error.message}`);
  return stdout;
}

/** The packages that contain Node and npm; none when they were unpacked by hand. */
function packagesOfNode() {
  const npm = join(dirname(process.execPath), 'npm');
  const files = [process.execPath, npm].filter((path) => existsSync(path)).map((path) => realpathSync(path));
  const lines = dpkgQuery(['--search', ...files]).split('\n');
  return lines.flatMap((line) => line.split(': ')[0]?.split(', ') ?? []).map((name) => name.replace(/:.*/, ''));
}

/** Files of those packages, their folders' links resolved: /bin is /usr/bin on most machines. */
function filesOf(names) {
  const canonical = new Map();
  const folder = (path) => {
    if (!canonical.has(path)) canonical.set(path, existsSync(path) ? realpathSync(path) : path);
    return canonical.get(path);
  };
  const listed = dpkgQuery(['--listfiles', ...names]).split('\n');
  const paths = listed.filter((path) => path.startsWith('/') && path !== '/.');
  return new Set(paths.map((path) => join(folder(dirname(path)), basename(path))));
}

/** A map of folders to the names in them that a fresh machine does not have. */
export function findForeign() {
  const installed = parsePackages(
    // biome-ignore lint/style/useTemplate: dpkg-query's placeholders, not JavaScript's
    dpkgQuery(['--show', '--showformat=' + FIELDS.map((field) => '${' + field + '}').join('\\t') + '\\n']),
  );
  const own = filesOf([...withDependencies(installed, [...Object.keys(PACKAGES), ...packagesOfNode()])]);
  const path = `${process.env.PATH ?? ''}:${STANDARD_PATH}`.split(':').filter((folder) => folder.startsWith('/'));
  const folders = new Set([...path, ...PLUGIN_FOLDERS].filter(isFolder).map((folder) => realpathSync(folder)));
  const foreign = new Map();
  for (const folder of folders) {
    const names = readdirSync(folder).filter((name) => isForeign(folder, name, own));
    if (names.length > 0) foreign.set(folder, names);
  }
  return foreign;
}

function isFolder(path) {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

/** Links of update-alternatives belong to no package; what they lead to does. */
function isForeign(folder, name, own) {
  const path = join(folder, name);
  if (own.has(path) || (NODE_PROGRAMS.has(name) && folder === dirname(process.execPath))) return false;
  return !(existsSync(path) && own.has(realpathSync(path)));
}

function mount(args) {
  const { status, stderr, error } = spawnSync('mount', ['--no-mtab', ...args], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`cannot mount on ${args.at(-1)}: ${error?.message ?? stderr.trim()}`);
}

/**
 * Covers each folder with an overlay in which those names are whiteouts (Linux' Documentation/filesystems/overlayfs.rst): they are
 * absent, the others as they were. It is read-only. `staging` keeps the whiteouts, in a tmpfs of this namespace.
 */
function hide(foreign, staging) {
  mount(['-t', 'tmpfs', 'whiteouts', staging]);
  const whiteout = join(staging, 'whiteout');
  const { status, stderr } = spawnSync('mknod', [whiteout, 'c', '0', '0'], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`cannot make a whiteout: ${stderr.trim()}`);
  for (const [at, [folder, names]] of [...foreign].entries()) {
    const layer = join(staging, `${at}`);
    mkdirSync(layer);
    for (const name of names) linkSync(whiteout, join(layer, name));
    const lower = [layer, folder].map((path) => path.replace(/[\\,:]/g, '\\$&')).join(':');
    mount(['-t', 'overlay', '-o', `ro,lowerdir=${lower}`, 'fresh', folder]);
    const left = names.find((name) => existsSync(join(folder, name)));
    if (left !== undefined) throw new Error(`${join(folder, left)} is still there under the overlay`);
  }
}

/** Must be called in a mount namespace of its own; resolves to the command's exit code. */
async function runHidden(staging, [file, ...args]) {
  hide(findForeign(), staging);
  const env = { ...process.env };
  for (const name of VARIABLES) delete env[name];
  return await runToEnd(file, args, { env });
}

/**
 * Runs a command as on a fresh machine and resolves to its exit code. If mounts are not permitted nothing is run: it rejects, or the code
 * is 1 after a line that says why.
 */
export async function runFresh(command, options = {}) {
  const { status, stderr, error } = spawnSync('unshare', ['--mount', 'true'], { encoding: 'utf8' });
  if (status !== 0)
    throw new Error(`cannot make a mount namespace: ${error?.message ?? stderr.trim()}; nothing was run`);
  const staging = mkdtempSync(join(tmpdir(), 'weft-fresh-'));
  try {
    const inside = [process.execPath, self, '--inside', staging, ...command];
    return await runToEnd('unshare', ['--mount', '--propagation', 'private', '--', ...inside], options);
  } finally {
    rmdirSync(staging);
  }
}

async function main([first, ...rest]) {
  if (first === '--inside') return await runHidden(rest[0], rest.slice(1));
  if (first === undefined) throw new Error('which command?');
  return await runFresh([first, ...rest]);
}

if (realpathSync(process.argv[1]) === self) {
  try {
    process.exitCode = await main(process.argv.slice(2));
  } catch (error) {
    process.stderr.write(`fresh machine: ${error.message}\n`);
    process.exitCode = 1;
  }
}
