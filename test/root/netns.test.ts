// Tests that entering a namespace and returning leaves no thread of Node behind, even when an exception is thrown inside.

import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { closeFd } from '../../lib/sys/file.ts';
import { openKoffiSyscalls } from '../../lib/sys/koffi.ts';
import { inNetns, isOwnNetns, NotNetnsError, openNetns } from '../../lib/sys/netns.ts';

const sys = openKoffiSyscalls();

beforeAll(async () => {
  // Starts the thread pool here, so that none of its threads is born inside another namespace.
  await stat('/');
});

/** Makes a namespace that is held by a process, which ends with the test. */
async function foreignNetns(): Promise<{ path: string; link: string }> {
  const holder = spawn('unshare', ['--net', 'sh', '-c', 'echo up; exec sleep 60'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(() => {
    holder.kill('SIGKILL');
  });
  await new Promise((resolve) => holder.stdout.once('data', resolve));
  const path = `/proc/${holder.pid}/ns/net`;
  return { path, link: readlinkSync(path) };
}

function threadNamespaces(): Set<string> {
  const tasks = readdirSync('/proc/self/task');
  return new Set(tasks.map((task) => readlinkSync(`/proc/self/task/${task}/ns/net`)));
}

describe('inNetns', () => {
  test('moves the calling thread there and back, and no other thread', async () => {
    const own = threadNamespaces();
    expect(own.size).toBe(1);
    const foreign = await foreignNetns();
    const fd = openNetns(sys, foreign.path);
    onTestFinished(() => closeFd(sys, fd));
    const inside = inNetns(sys, fd, () => readlinkSync('/proc/thread-self/ns/net'));
    expect(inside).toBe(foreign.link);
    expect(own.has(foreign.link)).toBe(false);
    expect(threadNamespaces()).toEqual(own);
  });

  test('a thousand visits leave the busy threads of the pool where they were', async () => {
    const own = threadNamespaces();
    const foreign = await foreignNetns();
    const fd = openNetns(sys, foreign.path);
    onTestFinished(() => closeFd(sys, fd));
    for (let visit = 0; visit < 1000; visit += 1) {
      const working = [stat('/'), stat('/proc'), stat('/sys'), stat('/dev')];
      inNetns(sys, fd, () => undefined);
      await Promise.all(working);
    }
    expect(threadNamespaces()).toEqual(own);
  });

  test('comes back when the body throws', async () => {
    const own = threadNamespaces();
    const foreign = await foreignNetns();
    const fd = openNetns(sys, foreign.path);
    onTestFinished(() => closeFd(sys, fd));
    expect(() =>
      inNetns(sys, fd, () => {
        throw new Error('inside');
      }),
    ).toThrow('inside');
    expect(threadNamespaces()).toEqual(own);
    expect(isOwnNetns(sys, fd)).toBe(false);
  });

  test('leaves no descriptor behind', async () => {
    const foreign = await foreignNetns();
    const before = readdirSync('/proc/self/fd').length;
    const fd = openNetns(sys, foreign.path);
    for (let visit = 0; visit < 10; visit += 1) inNetns(sys, fd, () => undefined);
    closeFd(sys, fd);
    expect(readdirSync('/proc/self/fd').length).toBe(before);
  });

  test('ends the process when it cannot go back', () => {
    // Runs in a child process, because it drops CAP_SYS_ADMIN inside, so that the second setns is refused.
    const script = `
      import { openKoffiSyscalls } from './lib/sys/koffi.ts';
      import { inNetns, openNetns } from './lib/sys/netns.ts';
      const sys = openKoffiSyscalls();
      const fd = openNetns(sys, process.env.NETNS);
      try {
        inNetns(sys, fd, () => sys.arena.scope(() => {
          const header = sys.arena.alloc(8);
          header.setU32(0, 0x20080522);
          const none = sys.arena.alloc(24);
          const CAPSET = sys.arch === 'x64' ? 126 : 91;
          if (sys.call(CAPSET, header.address, none.address) !== 0) process.exit(9);
        }));
      } finally {
        console.log('went on');
      }`;
    const bundle = execFileSync(
      'node_modules/.bin/esbuild',
      ['--bundle', '--platform=node', '--format=cjs', '--external:koffi', '--loader=ts'],
      { input: script },
    );
    const ended = runNode(bundle.toString());
    expect(ended).toMatchObject({ status: 1, stdout: '' });
    expect(ended.stderr).toContain('cannot return to the own network namespace');
  });
});

function runNode(script: string): { status: number | null; stdout: string; stderr: string } {
  try {
    const command = ['--net', 'sh', '-c', 'NETNS=/proc/$PPID/ns/net exec node -e "$0"', script];
    const stdout = execFileSync('unshare', command, { stdio: ['ignore', 'pipe', 'pipe'] });
    return { status: 0, stdout: stdout.toString(), stderr: '' };
  } catch (error) {
    const failed = error as { status: number | null; stdout: Buffer; stderr: Buffer };
    return { status: failed.status, stdout: failed.stdout.toString(), stderr: failed.stderr.toString() };
  }
}

describe('openNetns', () => {
  test('refuses a path that is not a namespace, and says what it is', () => {
    expect(() => openNetns(sys, '/etc/hostname')).toThrow(NotNetnsError);
    expect(() => openNetns(sys, '/no/such/netns')).toThrow('sys: open /no/such/netns: ENOENT');
  });

  test('refuses a namespace of another kind, and says so', () => {
    expect(() => openNetns(sys, '/proc/self/ns/uts')).toThrow('netns /proc/self/ns/uts (a namespace of another kind)');
  });

  test('does not open a FIFO without a writer or a terminal, because it would wait', () => {
    const folder = mkdtempSync(join(tmpdir(), 'netns-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    execFileSync('mkfifo', [join(folder, 'fifo')]);
    for (const path of [join(folder, 'fifo'), folder, '/dev/tty', '/dev/zero']) {
      expect(() => openNetns(sys, path), path).toThrow(NotNetnsError);
    }
  });

  test('distinguishes its own namespace from another', async () => {
    const own = openNetns(sys, '/proc/self/ns/net');
    const other = openNetns(sys, (await foreignNetns()).path);
    onTestFinished(() => {
      closeFd(sys, own);
      closeFd(sys, other);
    });
    expect(isOwnNetns(sys, own)).toBe(true);
    expect(isOwnNetns(sys, other)).toBe(false);
  });
});
