// Set-up must work on machines unlike this one, so small scripts stand in for every command it uses.
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, onTestFinished, test, vi } from 'vitest';

// A test starts dozens of processes, which takes long on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

const ALL = [
  'ca-certificates',
  'python3',
  'make',
  'g++',
  'libc6-dev',
  'iproute2',
  'nftables',
  'iptables',
  'procps',
  'iputils-ping',
  'util-linux',
  'openssl',
  'etcd-server',
  'strace',
];

/** The imitated machine: what dpkg lists as installed, and what apt-get, npm and the engine do. */
interface Machine {
  installed?: readonly string[];
  aptGet?: string;
  npm?: string;
  engine?: string;
  flock?: string;
  uid?: number;
  node?: string;
}

interface Clone {
  root: string;
  /** Runs set-up; returns its exit code, what it printed and which commands it ran. */
  setUp(): { exit: number | null; said: string; ran: string[] };
}

function makeClone(machine: Machine = {}): Clone {
  const root = mkdtempSync(join(tmpdir(), `weft-setup-${process.pid}-`));
  onTestFinished(() => rmSync(root, { recursive: true }));
  for (const folder of ['scripts', 'bin']) mkdirSync(join(root, folder));
  chmodSync(root, 0o777);
  copyFileSync(join(import.meta.dirname, 'setup.mjs'), join(root, 'scripts/setup.mjs'));
  writeFileSync(join(root, 'package.json'), '{"type": "module", "allowScripts": {"native": true, "other": false}}');
  writeFileSync(join(root, 'package-lock.json'), '{}');
  const state = join(root, 'installed');
  writeFileSync(state, (machine.installed ?? ALL).map((name) => `${name} installed\n`).join(''));
  const commands = {
    'dpkg-query': `cat ${state}; exit 1`,
    'apt-get': machine.aptGet ?? `case "$*" in *install*) for each; do echo "$each installed" >> ${state}; done;; esac`,
    npm: machine.npm ?? 'rm -rf node_modules; mkdir node_modules',
    flock: machine.flock ?? 'shift; exec "$@"',
  };
  for (const [name, body] of Object.entries(commands)) {
    const log = name === 'npm' || name === 'apt-get' ? `echo "${name} $*" >> ${root}/ran\n` : '';
    writeFileSync(join(root, 'bin', name), `#!/bin/sh\n${log}${body}\n`, { mode: 0o755 });
  }
  if (machine.engine !== undefined) {
    writeFileSync(
      join(root, 'scripts/engine.mjs'),
      `export async function ensureEngine({ log }) { ${machine.engine} }`,
    );
  }
  return { root, setUp: () => runSetUp(root, machine) };
}

function runSetUp(root: string, { uid, node }: Machine): ReturnType<Clone['setUp']> {
  const { npm_execpath: _, ...env } = process.env;
  const record = join(root, 'ran');
  rmSync(record, { force: true });
  if (node !== undefined) {
    const versions = `{ ...process.versions, node: '${node}' }`;
    writeFileSync(join(root, 'node.cjs'), `Object.defineProperty(process, 'versions', { value: ${versions} });`);
    env['NODE_OPTIONS'] = `--require=${join(root, 'node.cjs')}`;
  }
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(root, 'scripts/setup.mjs')], {
    encoding: 'utf8',
    env: { ...env, PATH: `${root}/bin:/usr/bin:/bin` },
    ...(uid === undefined ? {} : { uid, gid: uid }),
  });
  const ran = existsSync(record) ? readFileSync(record, 'utf8').trimEnd().split('\n') : [];
  return { exit: status, said: stdout + stderr, ran };
}

describe('set-up', () => {
  test('is silent and installs nothing when nothing is missing', () => {
    const clone = makeClone();
    clone.setUp();
    expect(clone.setUp()).toEqual({ exit: 0, said: '', ran: [] });
  });

  test('installs the packages that are missing, then node_modules', () => {
    const clone = makeClone({ installed: ALL.filter((name) => name !== 'make' && name !== 'g++') });
    const { exit, said, ran } = clone.setUp();
    expect({ exit, said }).toEqual({
      exit: 0,
      said: 'setup: installing make g++\nsetup: installing node_modules (npm ci)\n',
    });
    expect(ran).toEqual([
      expect.stringMatching(/^apt-get .*update$/),
      expect.stringMatching(/^apt-get .*install --yes --no-install-recommends make g\+\+$/),
      expect.stringMatching(/^npm ci --ignore-scripts --include=dev/),
      'npm rebuild native --loglevel=error',
    ]);
    expect(clone.setUp()).toEqual({ exit: 0, said: '', ran: [] });
  });

  test('installs node_modules again when the lock changed', () => {
    const clone = makeClone();
    clone.setUp();
    writeFileSync(join(clone.root, 'package-lock.json'), '{"changed": true}');
    expect(clone.setUp().ran).toEqual([expect.stringMatching(/^npm ci /), expect.stringMatching(/^npm rebuild /)]);
  });

  test('installs node_modules again after an install that was cut short', () => {
    const clone = makeClone({ npm: 'mkdir -p node_modules/half; kill -9 $$' });
    expect(clone.setUp().exit).toBe(1);
    expect(clone.setUp().ran).toEqual([expect.stringMatching(/^npm ci /)]);
  });

  test('compiles native packages against the headers of the running Node', () => {
    const clone = makeClone({ npm: 'mkdir -p node_modules; echo "nodedir $npm_config_nodedir" >> ran' });
    const prefix = dirname(dirname(process.execPath));
    const want = existsSync(join(prefix, 'include/node/node.h')) ? prefix : (process.env['npm_config_nodedir'] ?? '');
    expect(clone.setUp().ran).toContain(`nodedir ${want}`.trim());
  });

  test('goes on, and says so, without a native package that does not build', () => {
    const npm = `case "$1" in ci) mkdir -p node_modules;; *) echo 'npm error gyp ERR! stack Error: not found: make' >&2; exit 1;; esac`;
    const clone = makeClone({ npm });
    expect(clone.setUp()).toMatchObject({
      exit: 0,
      said:
        'setup: installing node_modules (npm ci)\n' +
        'setup: native did not build, so the bench has no ICMP rounds: npm error gyp ERR! stack Error: not found: make\n',
    });
    expect(clone.setUp()).toEqual({ exit: 0, said: '', ran: [] });
  });

  test('makes the engine last, with a log', () => {
    const clone = makeClone({ engine: "log('compiling the engine');" });
    expect(clone.setUp().said).toBe('setup: installing node_modules (npm ci)\nsetup: compiling the engine\n');
  });
});

interface Failure {
  name: string;
  machine: Machine;
  want: string;
}

const noMake = ALL.filter((name) => name !== 'make');
const failures: Failure[] = [
  {
    name: 'a Node too old',
    machine: { node: '18.20.4' },
    want: 'Node 18.20.4 is too old: install Node 20 or later',
  },
  {
    name: 'not root and a package missing',
    machine: { installed: noMake, uid: 65_534 },
    want: 'missing: make; run as root once, or: apt-get install make',
  },
  {
    name: 'apt without network',
    machine: {
      installed: noMake,
      aptGet: `echo "E: Failed to fetch http://d/make.deb  Temporary failure resolving 'd'" >&2; exit 100`,
    },
    want: `could not install make: no network, or a wrong mirror in /etc/apt (Failed to fetch http://d/make.deb  Temporary failure resolving 'd')`,
  },
  {
    name: 'apt without lists because the update had no network',
    machine: {
      installed: noMake,
      aptGet: `case "$*" in *update) echo "W: Could not resolve 'd'" >&2;; *) echo 'E: Unable to locate package make' >&2; exit 100;; esac`,
    },
    want: 'could not install make: no network, or a wrong mirror in /etc/apt (Unable to locate package make)',
  },
  {
    name: 'apt that fails',
    machine: { installed: noMake, aptGet: `echo 'E: You have held broken packages.' >&2; exit 100` },
    want: 'could not install make: apt-get failed (You have held broken packages.)',
  },
  {
    name: 'npm without network',
    machine: { npm: `echo 'npm error code EAI_AGAIN' >&2; echo 'npm error request to http://r/ failed' >&2; exit 1` },
    want: 'could not install node_modules: no network, or a wrong registry in npm config (request to http://r/ failed)',
  },
  {
    name: 'npm that fails',
    machine: { npm: `echo 'npm error code EUSAGE' >&2; echo 'npm error lock and package.json differ' >&2; exit 1` },
    want: 'could not install node_modules: npm ci failed (lock and package.json differ)',
  },
  {
    name: 'an engine that cannot be had',
    machine: { engine: "throw new Error('engine: set QUICKJS_SRC');" },
    want: 'engine: set QUICKJS_SRC',
  },
];

describe('set-up that cannot finish prints one line and exits with 1', () => {
  test.for(failures)('$name', ({ machine, want }) => {
    const { exit, said } = makeClone(machine).setUp();
    const lines = said
      .trimEnd()
      .split('\n')
      .filter((line) => !line.startsWith('setup: installing '));
    expect(lines).toEqual([`setup: ${want}`]);
    expect(exit).toBe(1);
  });
});

test('two set-ups that run at once install node_modules once', () => {
  const clone = makeClone({
    npm: 'rm -rf node_modules; mkdir node_modules; sleep 0.3',
    flock: 'exec /usr/bin/flock "$@"',
  });
  const script = `for i in 1 2 3; do '${process.execPath}' '${clone.root}/scripts/setup.mjs' & done; wait`;
  const { npm_execpath: _, ...env } = process.env;
  spawnSync('/bin/sh', ['-c', script], { env: { ...env, PATH: `${clone.root}/bin:/usr/bin:/bin` } });
  expect(readFileSync(join(clone.root, 'ran'), 'utf8')).toMatch(/^npm ci [^\n]*\nnpm rebuild [^\n]*\n$/);
});
