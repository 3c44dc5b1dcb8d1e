// Tests the command line of every npm script, in a clone where nothing is installed and every attempt to install something is recorded.
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { commands as labCommands } from '../test/lab/cli/commands.ts';
import { COMMANDS, commandOf } from './commands.mjs';
import { SUITES, suiteRows } from './suites.mjs';

// A test starts dozens of processes, which takes long on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

const repository = resolve(import.meta.dirname, '..');
const { scripts } = JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8')) as {
  scripts: Record<string, string>;
};
const scriptNames = Object.keys(scripts);
/** `suite soak` is the script suite with the suite's name as its first argument. */
const names = [...scriptNames, ...Object.keys(SUITES).map((suite) => `suite ${suite}`)];
const INSTALLERS = ['apt-get', 'dpkg-query', 'flock', 'npm', 'gcc', 'cc', 'nft', 'ip', 'unshare', 'buildah'];

let clone: string;

beforeAll(() => {
  clone = mkdtempSync(join(tmpdir(), 'weft-no-clone-'));
  cpSync(join(repository, 'scripts'), join(clone, 'scripts'), { recursive: true });
  cpSync(join(repository, 'package.json'), join(clone, 'package.json'));
  mkdirSync(join(clone, 'bin'));
  for (const name of INSTALLERS) {
    writeFileSync(join(clone, 'bin', name), `#!/bin/sh\necho ${name} >>'${clone}/ran'\nexit 1\n`, { mode: 0o755 });
  }
});
afterAll(() => rmSync(clone, { recursive: true }));

interface Run {
  status: number | null;
  stdout: string;
  stderr: string;
  /** The commands that would have installed, built or changed something. */
  ran: string[];
}

/** Runs a script as npm does: a shell in the clone executes the text of package.json with the arguments. */
function run(fullName: string, ...rest: string[]): Run {
  const [name = '', ...first] = fullName.split(' ');
  const args = [...first, ...rest];
  const before = readdirSync(clone, { recursive: true, encoding: 'utf8' });
  const words = args.map((word) => `'${word}'`).join(' ');
  const PATH = `${join(clone, 'bin')}:${dirname(process.execPath)}:/bin`;
  const { status, stdout, stderr } = spawnSync('/bin/sh', ['-c', `${scripts[name]} ${words}`], {
    cwd: clone,
    encoding: 'utf8',
    env: { PATH, HOME: clone },
  });
  const made = readdirSync(clone, { recursive: true, encoding: 'utf8' }).filter((path) => !before.includes(path));
  rmSync(join(clone, 'ran'), { force: true });
  return { status, stdout, stderr, ran: made.map(String) };
}

function typed(name: string): string {
  if (name.startsWith('suite ')) return `npm run suite -- ${name.slice('suite '.length)}`;
  return name === 'start' || name === 'test' ? `npm ${name}` : `npm run ${name}`;
}

test('every npm script has a help text, and every help text belongs to an npm script', () => {
  expect(Object.keys(COMMANDS).sort()).toEqual([...scriptNames].sort());
});

describe('--help of every npm script is answered before anything is installed or built', () => {
  test.for(names)('%s', (name) => {
    const { status, stdout, stderr, ran } = run(name, '--help');
    expect({ status, stderr, ran }).toEqual({ status: 0, stderr: '', ran: [] });
    expect(stdout.split('\n')[0]).toMatch(new RegExp(`^${typed(name)}( .*)?$`));
    const { options = {}, does } = commandOf(name) ?? { does: '' };
    expect(does).toMatch(/[a-z]\.$/);
    for (const [option, { type, value, says }] of Object.entries(options)) {
      expect(says.length).toBeGreaterThan(3);
      const shown = type === 'string' ? `--${option} ${value}` : `--${option}`;
      expect(stdout.split('\n').some((line) => line.startsWith(`  ${shown} `) && line.includes(says))).toBe(true);
    }
    expect(Math.max(...stdout.split('\n').map((line) => line.length))).toBeLessThanOrEqual(140);
  });

  test('without --help the same clone is set up first', () => {
    for (const name of names.filter((one) => one !== 'lab' && one !== 'suite')) {
      const bin = name === 'conformance' ? ['--list'] : [];
      expect(run(name, ...bin), name).toMatchObject({ status: 1, ran: ['ran'] });
    }
  }, 60_000);
});

describe('a wrong argument is refused in one line, before anything is installed or built', () => {
  const own = names.filter((name) => commandOf(name)?.passes === undefined);
  test.for(own)('%s refuses an option it does not know', (name) => {
    expect(run(name, '--colour')).toEqual({
      status: 1,
      stdout: '',
      stderr: `${typed(name)}: Unknown option '--colour' (--help lists the options)\n`,
      ran: [],
    });
  });

  test.for([
    { argv: ['check', 'flanneld'], want: /^npm run check: Unexpected argument 'flanneld'/ },
    { argv: ['suite soak', '--minutes', '-1'], want: /^npm run suite -- soak: .*--minutes/ },
    { argv: ['suite soak', '--minutes', 'all'], want: /--minutes: expected a number above 0, got "all"$/ },
    { argv: ['suite soak', '--seed'], want: /--seed <value>' argument missing/ },
    { argv: ['suite faults', '--rounds', '0'], want: /--rounds: expected a whole number from 1, got "0"$/ },
    { argv: ['start', '--pods', '999'], want: /--pods: expected a whole number from 0 to 200, got "999"$/ },
    {
      argv: ['suite kill', '--plugin', 'tuning'],
      want: /--plugin: expected flannel or portmap or bandwidth, got "tuning"$/,
    },
    { argv: ['conformance', '--bin', '/nowhere/x'], want: /--bin: expected a folder that exists, got "\/nowhere\/x"$/ },
    { argv: ['conformance', '--bin', '/etc/hosts'], want: /--bin: expected a folder that exists, got "\/etc\/hosts"$/ },
    { argv: ['suite containerd', '--bin', '/nowhere/x'], want: /--bin: expected a folder that exists, got / },
  ])('$argv', ({ argv: [name = '', ...args], want }) => {
    const { status, stderr, ran } = run(name, ...args);
    expect(stderr.trimEnd().split('\n')).toEqual([expect.stringMatching(want)]);
    expect({ status, ran }).toEqual({ status: 1, ran: [] });
  });
});

test('--help after a command of the lab prints the help of that command', () => {
  expect(run('lab', 'exec', 'node-1', 'ip', '--help').ran).toEqual(['ran']);
  expect(run('lab', '--name', 'x', '--help')).toMatchObject({ status: 0, ran: [] });
  expect(run('lab')).toMatchObject({ status: 0, ran: [] });
});

test('the help of the lab lists all its commands', () => {
  const listed = Object.keys(COMMANDS['lab']?.commands ?? {});
  expect(listed).toEqual([...new Set(labCommands.map(({ usage }) => usage))]);
});

test('an unknown suite is refused in one line that names all suites', () => {
  const { status, stderr, ran } = run('suite', 'nope');
  expect({ status, ran }).toEqual({ status: 1, ran: [] });
  expect(stderr).toBe(
    `npm run suite -- nope: no suite "nope", expected one of ${[...Object.keys(SUITES), 'list', 'all'].join(', ')}\n`,
  );
  expect(run('suite', 'all', 'x').stderr).toBe('npm run suite -- all: all takes no argument, got "x"\n');
});

test('the list has the same suites as test/README.md', () => {
  const { status, stdout, ran } = run('suite', 'list');
  expect({ status, ran }).toEqual({ status: 0, ran: [] });
  const readme = readFileSync(join(repository, 'test/README.md'), 'utf8');
  for (const { name, does, takes, needs } of suiteRows()) {
    expect(stdout).toContain(`needs ${needs}`);
    expect(readme).toContain(`| \`${name}\` | ${does} | ${takes} | ${needs} |`);
  }
});
