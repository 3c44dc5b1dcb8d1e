// `npm start` and `npm run lab` as a person uses them: what they print, how they end, and that nothing is left.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { runCommand } from '../lab/command.ts';
import { childrenOf, commandLine, type ProcessId, waitUntil } from '../lab/processes.ts';
import { repositoryRoot } from '../lab/programs.ts';
import { familyOf, footprint, survivors } from '../lab/support/leftovers.ts';
import { slowed } from '../support/slowness.ts';

const START_MS = 60_000;
const END_MS = 30_000;

interface Outcome {
  readonly exitCode: number | null;
  readonly output: string;
}

async function npm(...args: string[]): Promise<Outcome> {
  const { exitCode, stdout, stderr } = await runCommand(['npm', '--silent', ...args], {
    cwd: repositoryRoot,
    timeoutMs: START_MS,
  });
  return { exitCode, output: stdout + stderr };
}

/** Runs `npm start` in a process group of its own, as a shell would. */
function npmStart(...args: string[]): ChildProcess {
  const child = spawn('npm', ['--silent', 'start', '--', ...args], {
    cwd: repositoryRoot,
    detached: true,
    stdio: 'pipe',
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  return child;
}

/** Ends the kept lab of that name, if there is one. It may be left by a test that failed. */
async function takeDown(name: string): Promise<void> {
  await npm('run', 'lab', '--', '--name', name, 'down');
}

async function gone(child: ChildProcess): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
}

async function saysLine(child: ChildProcess, pattern: RegExp): Promise<void> {
  let said = '';
  await new Promise<void>((resolve) => {
    child.stdout?.on('data', (chunk: Buffer) => {
      said += chunk.toString();
      if (pattern.test(said)) resolve();
    });
  });
}

/** The pid of the Node process that runs scripts/npm-script.mjs, a child of npm or of npm's shell. */
function launcherOf(npmPid: number): number | undefined {
  const isLauncher = (pid: number): boolean =>
    (commandLine(pid) ?? []).some((word) => word.endsWith('scripts/npm-script.mjs'));
  const below = childrenOf(npmPid);
  return [...below, ...below.flatMap(childrenOf)].find((pid) => isLauncher(pid) && commandLine(pid)?.[0] !== 'sh');
}

async function expectNothingLeft(family: readonly ProcessId[], before: ReturnType<typeof footprint>): Promise<void> {
  await waitUntil(() => survivors(family).length === 0, END_MS, 'end of every process');
  const owners = [process.pid, ...family.map(({ pid }) => pid)];
  await waitUntil(() => footprint(owners).processes.length === 0, END_MS, 'end of the lab');
  expect(footprint(owners)).toEqual(before);
}

// Builds everything first. Otherwise the tests would kill the runs below during the build instead of during the lab.
beforeAll(() => npm('run', 'build'), 300_000);

describe('npm start', () => {
  test('shows every pod reaching every other, exits 0 and leaves nothing', { timeout: slowed(START_MS) }, async () => {
    const before = footprint([process.pid]);
    const { exitCode, output } = await npm('start');
    expect(output).toContain('30 of 30 pairs answered');
    expect(exitCode).toBe(0);
    for (const step of ['build', 'underlay', 'nodes', 'agents', 'pods', 'ping', 'down'])
      expect(output).toMatch(new RegExp(`✓ ${step} .* s\n`));
    expect(output).toMatch(/pod-3-2 +node-3 +10\.244\.\d+\.\d+ +\d+\.\d +\d+\.\d +\d+\.\d/);
    expect(output).toContain('npm start -- --nodes 5 --pods 4 --keep');
    expect(footprint([process.pid])).toEqual(before);
  });

  test.for([
    { args: ['--nodes', 'many'], want: 'npm start: --nodes: expected a whole number from 1 to 100, got "many"\n' },
    { args: ['--pods', '999'], want: 'npm start: --pods: expected a whole number from 0 to 200, got "999"\n' },
    {
      args: ['--name', 'A/B', '--keep'],
      want: 'npm start: --name: expected small letters, digits and dashes, got "A/B"\n',
    },
    { args: ['--colour'], want: "npm start: Unknown option '--colour' (--help lists the options)\n" },
  ])('refuses $args in one line', async ({ args, want }) => {
    expect(await npm('start', '--', ...args)).toEqual({ exitCode: 1, output: want });
  });

  test('removes everything on Ctrl-C, at any moment, and says so', { timeout: slowed(120_000) }, async () => {
    const before = footprint([process.pid]);
    const name = `interrupted-${process.pid}`;
    onTestFinished(() => takeDown(name));
    for (const extra of [[], ['--keep', '--name', name]]) {
      // With this many pods `npm start` is still working when it is interrupted.
      const child = npmStart('--nodes', '2', '--pods', '150', ...extra);
      await saysLine(child, /✓ build/);
      await sleep(Math.random() * 1000);
      const family = familyOf(child.pid ?? 0);
      let said = '';
      child.stderr?.on('data', (chunk: Buffer) => (said += chunk.toString()));
      process.kill(-(child.pid ?? 0), 'SIGINT');
      await gone(child);
      expect(said).toBe('\nCtrl-C: removing what was started…\nnothing is left\n');
      await expectNothingLeft(family, before);
    }
  });

  test('on a terminal, ^C ends it in the same way, and the line of the step stays as it is', {
    timeout: slowed(120_000),
  }, async () => {
    const before = footprint([process.pid]);
    const command = 'npm --silent start -- --nodes 2 --pods 150';
    // script(1) gives it a terminal, which makes SIGINT of the byte 3 for every process of the foreground.
    const terminal = spawn('script', ['-qec', command, '/dev/null'], { cwd: repositoryRoot, stdio: 'pipe' });
    onTestFinished(() => void terminal.kill('SIGKILL'));
    let said = '';
    terminal.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
    // A step is drawn only when it has taken a tenth of a second.
    await saysLine(terminal, /· pods/);
    await sleep(Math.random() * 500);
    const family = familyOf(terminal.pid ?? 0);
    terminal.stdin.write('\x03');
    await gone(terminal);
    expect(said).toMatch(/· pods +… +[\d.]+ s\^C\r\nCtrl-C: removing what was started…\r\nnothing is left\r\n$/);
    expect(said).not.toContain('✗');
    expect(terminal.exitCode).toBe(130);
    await expectNothingLeft(family, before);
  });

  test('removes everything when npm alone gets SIGTERM', { timeout: slowed(120_000) }, async () => {
    const before = footprint([process.pid]);
    const child = npmStart('--nodes', '2');
    await saysLine(child, /✓ nodes/);
    const family = familyOf(child.pid ?? 0);
    expect(launcherOf(child.pid ?? 0)).toBeDefined();
    child.kill('SIGTERM');
    await gone(child);
    await expectNothingLeft(family, before);
  });

  test('leaves nothing when the launcher is killed, at any moment', { timeout: slowed(120_000) }, async () => {
    const before = footprint([process.pid]);
    for (let round = 0; round < 4; round += 1) {
      const child = npmStart('--nodes', '2', '--pods', '150');
      await saysLine(child, /✓ build/);
      await sleep(Math.random() * 1200);
      const family = familyOf(child.pid ?? 0);
      process.kill(launcherOf(child.pid ?? 0) ?? Number.NaN, 'SIGKILL');
      await gone(child);
      await expectNothingLeft(family, before);
    }
  });
});

describe('npm run lab', () => {
  test('works on a lab that npm start kept', { timeout: slowed(120_000) }, async () => {
    const before = footprint([process.pid]);
    const name = `e2e-${process.pid}`;
    const lab = (...words: string[]): Promise<Outcome> => npm('run', 'lab', '--', '--name', name, ...words);
    onTestFinished(() => takeDown(name));
    const start = await npm('start', '--', '--nodes', '2', '--pods', '1', '--keep', '--name', name);
    expect(start).toMatchObject({ exitCode: 0, output: expect.stringContaining('The lab stays.') });
    expect(start.output).toContain('weft: 2 nodes, 1 pod on each\n');

    expect((await lab('status')).output).toMatch(
      /node-2 +192\.168\.50\.12 +10\.244\.\d+\.0\/24 +running \(\d+\) +pod-2-1 10\.244/,
    );
    expect(await lab('exec', 'node-1', 'hostname')).toEqual({ exitCode: 0, output: 'node-1\n' });
    expect((await lab('exec', 'pod-1-1', 'ip', '-br', 'addr', 'show', 'eth0')).output).toContain('10.244.');
    expect((await lab('exec', 'node-1', 'sh', '-c', 'exit 7')).exitCode).toBe(7);
    expect(await lab('exec', 'node-1', 'flanneld', 'status')).toMatchObject({
      exitCode: 0,
      output: expect.stringMatching(/^ready +yes$/m),
    });
    const [, other = ''] = /pod-2-1 (10\.244\.[\d.]+)/.exec((await lab('status')).output) ?? [];
    expect(await lab('exec', 'pod-1-1', 'ping', '-c', '1', other)).toMatchObject({
      exitCode: 0,
      output: expect.stringContaining('1 received'),
    });
    expect((await lab('logs', 'node-1')).output).toMatch(/^\{.*"msg":"ready"/m);
    expect((await lab('pod', 'add', 'node-1')).output).toMatch(/^pod-1-2 on node-1 has 10\.244\./);
    expect(await lab('ping')).toMatchObject({ exitCode: 0, output: expect.stringContaining('6 of 6 pairs answered') });
    expect((await lab('agent', 'kill', 'node-1')).output).toBe('the agent of node-1 ended: SIGKILL\n');
    expect((await lab('status')).output).toContain('ended (SIGKILL)');
    expect((await lab('ping')).output).toContain('6 of 6 pairs answered');
    expect((await lab('agent', 'start', 'node-1')).output).toMatch(
      /^the agent of node-1 is ready \d+ ms after its start/,
    );
    expect((await lab('agent', 'stop', 'node-1')).output).toBe('the agent of node-1 ended: exit code 0\n');
    expect((await lab('pod', 'del', 'node-1', 'pod-1-2')).output).toMatch(/^pod-1-2 is detached/);
    expect((await lab('node', 'reboot', 'node-1')).output).toContain('node-1 has booted\nthe agent of node-1 is ready');
    expect((await lab('node', 'remove', 'node-2')).output).toBe('node-2 is gone\n');
    expect((await lab('exec', 'node-2', 'true')).output).toMatch(/find node node-2: ENOENT/);
    expect(await lab('down')).toEqual({ exitCode: 0, output: `lab ${name} is gone\n` });
    expect(footprint([process.pid])).toEqual(before);
  });

  test('has nodes with one shared /run/netns, even where the machine mounts it privately', async () => {
    const name = `netns-${process.pid}`;
    const lab = `npm --silent run lab -- --name ${name}`;
    // Uses a /run of its own, so that the machine's stays unchanged. A mount that the machine has at /run/netns is listed too, but covered.
    const script = `mount -t tmpfs run /run; mkdir /run/netns; mount --bind /run/netns /run/netns
      npm --silent start -- --nodes 1 --pods 0 --keep --name ${name} >/run/said || cat /run/said
      ${lab} exec node-1 grep ' /run/netns ' /proc/self/mountinfo | tail -n 1; ${lab} down`;
    const private_ = ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', script];
    const { stdout } = await runCommand(private_, { cwd: repositoryRoot, timeoutMs: START_MS });
    expect(stdout.split('\n')).toEqual([expect.stringMatching(/ shared:\d+ /), `lab ${name} is gone`, '']);
  });

  test.for([
    { words: ['fly'], want: 'npm run lab: unknown command "fly"; npm run lab -- help lists them\n' },
    { words: ['logs'], want: 'npm run lab: usage: logs NODE\n' },
    { words: ['agent', 'kill'], want: 'npm run lab: usage: agent start|stop|kill NODE\n' },
    {
      words: ['--name', 'nowhere', 'status'],
      want: 'npm run lab: lab: find lab nowhere: ENOENT (npm start -- --keep makes one)\n',
    },
  ])('refuses $words in one line', async ({ words, want }) => {
    const { exitCode, output } = await npm('run', 'lab', '--', ...words);
    expect({ exitCode, output }).toEqual({ exitCode: 1, output: want });
  });
});
