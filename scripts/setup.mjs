// Prepares a fresh clone on a bare Debian machine so that every npm script works: installs system packages and node_modules, and
// builds the CNI executable's engine. It uses only Node itself, because it runs before anything is installed. Silent when nothing is
// missing.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const self = fileURLToPath(import.meta.url);
const repository = dirname(dirname(self));
const NODE_MAJOR = 20;

/** Debian packages, each with a file or command that shows it is installed on systems without dpkg. */
export const PACKAGES = {
  'ca-certificates': '/etc/ssl/certs',
  python3: 'python3',
  make: 'make',
  'g++': 'g++',
  'libc6-dev': '/usr/include/stdio.h',
  iproute2: 'ip',
  nftables: 'nft',
  iptables: 'iptables',
  procps: 'ps',
  'iputils-ping': 'ping',
  'util-linux': 'unshare',
  strace: 'strace',
  openssl: 'openssl',
  'etcd-server': 'etcd',
};

/** Units that packages would start. The tests start their own servers, so these must neither run now nor start at boot. */
const UNWANTED_UNITS = {
  'etcd-server': 'etcd.service',
  containerd: 'containerd.service',
  prometheus: 'prometheus.service',
  'docker-registry': 'docker-registry.service',
};

function log(line) {
  process.stderr.write(`setup: ${line}\n`);
}

function run(command, args, options = {}) {
  const maxBuffer = 64 << 20;
  return spawnSync(command, args, {
    encoding: 'utf8',
    cwd: repository,
    stdio: ['ignore', 'pipe', 'pipe'],
    maxBuffer,
    ...options,
  });
}

/** Whether PATH has this program. */
export function isOnPath(command) {
  return (process.env.PATH ?? '').split(':').some((folder) => folder !== '' && existsSync(join(folder, command)));
}

function missingPackages(packages) {
  const names = Object.keys(packages);
  // dpkg-query exits with 1 when it does not know one of the names. What it lists is still right.
  // biome-ignore lint/suspicious/noTemplateCurlyInString: dpkg-query's own placeholders
  const query = run('dpkg-query', ['--show', '--showformat=${Package} ${db:Status-Status}\n', ...names]);
  if (query.error?.code === 'ENOENT') {
    return names.filter(
      (name) => !(packages[name].startsWith('/') ? existsSync(packages[name]) : isOnPath(packages[name])),
    );
  }
  const installed = new Set(query.stdout.split('\n').filter((line) => line.endsWith(' installed')));
  return names.filter((name) => !installed.has(`${name} installed`));
}

/** Words in the errors of apt and npm that show that the network is the cause. */
const NO_NETWORK =
  /temporary failure resolving|could not resolve|could not connect|network is unreachable|connection timed out|EAI_AGAIN|ENOTFOUND|ECONNREFUSED|ENETUNREACH|EHOSTUNREACH|ETIMEDOUT|ECONNRESET/i;

function firstLine(text, pattern) {
  return text
    .split('\n')
    .find((line) => pattern.test(line))
    ?.trim();
}

function runsSystemd() {
  return existsSync('/run/systemd/system');
}

/** Masks units, so that installing their packages does not start them. */
function maskUnits(units) {
  if (units.length > 0 && runsSystemd()) run('systemctl', ['mask', ...units]);
}

/** Unmasks units, so that the machine's administrator can start them as usual. */
function unmaskUnits(units) {
  if (units.length === 0 || !runsSystemd()) return;
  run('systemctl', ['unmask', ...units]);
  run('systemctl', ['disable', ...units]);
}

function installPackages(missing) {
  const list = missing.join(' ');
  if (!isOnPath('apt-get'))
    throw new Error(`missing (by Debian's names): ${list}; there is no apt-get here, so install them yourself`);
  if (process.getuid() !== 0) throw new Error(`missing: ${list}; run as root once, or: apt-get install ${list}`);
  log(`installing ${list}`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', NEEDRESTART_MODE: 'a', LC_ALL: 'C' };
  const waitForOthers = ['-o', 'DPkg::Lock::Timeout=300'];
  // A failure here does not stop set-up, since one of several sources may be unreachable. The next step shows whether packages are found.
  const update = run('apt-get', [...waitForOthers, 'update'], { env });
  const unwanted = missing.flatMap((name) => UNWANTED_UNITS[name] ?? []);
  maskUnits(unwanted);
  const install = run('apt-get', [...waitForOthers, 'install', '--yes', '--no-install-recommends', ...missing], {
    env,
  });
  unmaskUnits(unwanted);
  if (install.status === 0) return;
  const said = `${install.stderr}\n${install.stdout}`;
  const why = firstLine(said, /^E: /)?.slice(3) ?? install.error?.message ?? `exit ${install.status}`;
  const cause = NO_NETWORK.test(`${said}${update.stderr}${update.stdout}`)
    ? 'no network, or a wrong mirror in /etc/apt'
    : 'apt-get failed';
  throw new Error(`could not install ${list}: ${cause} (${why})`);
}

const stampFile = join(repository, 'node_modules', '.set-up');

/** Whether each package's install script may run, for packages that have one. */
function allowScripts() {
  return JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8')).allowScripts ?? {};
}

/** What node_modules was installed from: the lock file, the scripts allowed to run, and the platform of native code. */
function stamp() {
  const built = [process.versions.modules, process.platform, process.arch, JSON.stringify(allowScripts())];
  return createHash('sha256')
    .update(readFileSync(join(repository, 'package-lock.json')))
    .update(built.join(' '))
    .digest('hex');
}

function isInstalled() {
  return existsSync(stampFile) && readFileSync(stampFile, 'utf8') === stamp();
}

/** Compiles native packages with the headers of this Node, where it has them, so that none are downloaded. */
function headersOfThisNode() {
  const prefix = dirname(dirname(process.execPath));
  return existsSync(join(prefix, 'include/node/node.h')) ? { npm_config_nodedir: prefix } : {};
}

/** Installs without any scripts, then runs the allowed ones, because npm 10 does not know allowScripts and would run all. */
function installModules() {
  log('installing node_modules (npm ci)');
  // Development and optional packages are needed whatever NODE_ENV or the user's npmrc say.
  const wanted = ['--ignore-scripts', '--include=dev', '--include=optional', '--no-audit', '--no-fund'];
  // The lock file is exact, so cached packages need no request. The short timeouts replace npm's waits, which add up to minutes.
  const network = ['--prefer-offline', '--fetch-retry-mintimeout=1000', '--fetch-retry-maxtimeout=10000'];
  const ci = runNpm('ci', ...wanted, ...network);
  if (ci.error?.code === 'ENOENT') throw new Error('npm is not on PATH: install npm 10 or later');
  if (ci.status !== 0) {
    const said = `${ci.stderr}\n${ci.stdout}`;
    const why =
      firstLine(said, /^npm error (?!code|errno|syscall|A complete log)\S/)?.slice('npm error '.length) ??
      `exit ${ci.status}`;
    const cause = NO_NETWORK.test(said) ? 'no network, or a wrong registry in npm config' : 'npm ci failed';
    throw new Error(`could not install node_modules: ${cause} (${why})`);
  }
  buildNative();
  writeFileSync(stampFile, stamp());
}

function runNpm(...args) {
  const npm = process.env.npm_execpath?.endsWith('.js') ? [process.execPath, process.env.npm_execpath] : ['npm'];
  return run(npm[0], [...npm.slice(1), ...args, '--loglevel=error'], {
    env: { ...process.env, ...headersOfThisNode() },
  });
}

/** Builds the optional dependency that may run its install script. Only the bench's rounds with ICMP need it. */
function buildNative() {
  const allowed = Object.entries(allowScripts()).flatMap(([name, isAllowed]) => (isAllowed ? [name] : []));
  if (allowed.length === 0) return;
  const { status, stderr, stdout } = runNpm('rebuild', ...allowed);
  if (status === 0) return;
  const why = firstLine(`${stderr}\n${stdout}`, /gyp ERR! stack Error|error:|fatal/i) ?? `exit ${status}`;
  log(`${allowed.join(', ')} did not build, so the bench has no ICMP rounds: ${why}`);
}

async function ensureEngine() {
  const engine = join(repository, 'scripts/engine.mjs');
  if (!existsSync(engine)) return;
  const module = await import(pathToFileURL(engine).href);
  await module.ensureEngine({ log });
}

/**
 * Installs those of these Debian packages that are missing. Each is given with a file or command that shows it is installed. When
 * that fails, throws an Error of one line that says what to do.
 */
export function ensurePackages(packages) {
  const missing = missingPackages(packages);
  if (missing.length > 0) installPackages(missing);
}

/** Does whatever is still missing. Throws an Error of one line that says what to install or set. */
async function setUpLocked(only) {
  if (Number.parseInt(process.versions.node, 10) < NODE_MAJOR) {
    throw new Error(`Node ${process.versions.node} is too old: install Node ${NODE_MAJOR} or later`);
  }
  if (only !== 'modules') ensurePackages(PACKAGES);
  if (!isInstalled()) installModules();
  if (only !== 'modules') await ensureEngine();
}

/**
 * Makes the clone ready and returns whether it is. If not, prints one line that says why. Two npm scripts started together must not
 * both run `npm ci`, so a lock is held: flock(1) on this file, which the kernel releases when the last holder ends.
 */
export function setUp(...only) {
  const locked = [process.execPath, self, '--locked', ...only];
  const result = run('flock', [self, ...locked], { stdio: 'inherit' });
  if (result.error?.code !== 'ENOENT') return result.status === 0;
  // Without flock, util-linux is missing, and set-up is about to install it.
  return run(process.execPath, locked.slice(1), { stdio: 'inherit' }).status === 0;
}

/** The same for scripts that need only Node and node_modules, on any machine: a script that works on a cluster builds nothing here. */
export function setUpModules() {
  return setUp('modules');
}

async function main() {
  if (!process.argv.includes('--locked')) {
    process.exitCode = setUp() ? 0 : 1;
    return;
  }
  try {
    await setUpLocked(process.argv[3]);
  } catch (error) {
    log(error instanceof Error ? error.message : String(error));
    process.exitCode = 1;
  }
}

if (realpathSync(process.argv[1]) === self) await main();
