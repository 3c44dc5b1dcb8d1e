// Starts plugins as a runtime written in Go does: by posix_spawn(3), whose child shares our memory until it executes, and with real
// pipes. Node's own spawn forks, which copies the page tables of the whole Node process. That takes 1.5 ms, which no runtime needs.

import { once } from 'node:events';
import { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import koffi from 'koffi';
import { OpError } from '../../../lib/errors.ts';
import { errnoName } from '../../../lib/sys/errno.ts';
import { closeFd, O_CLOEXEC } from '../../../lib/sys/file.ts';
import { check } from '../../../lib/sys/sys-error.ts';
import type { Syscalls } from '../../../lib/sys/syscalls.ts';
import type { ExecutePlugin } from '../cni/invoke.ts';
import { monotonicNs } from '../command.ts';

/** The sizes are larger than those of glibc's posix_spawnattr_t (336) and posix_spawn_file_actions_t (80). */
const OPAQUE_BYTES = 512;
const POSIX_SPAWN_SETSIGDEF = 0x04;
const SIGSET_BYTES = 128;
/** Signals that a plugin must not ignore. Node ignores the first; the shell that waits for this runner ignores the others. */
const RESET_SIGNALS = [13, 2, 3];
const WNOHANG = 1;
const SIGKILL = 9;
/** A plugin that has closed its pipes will end soon. For this time its end is polled without a pause, and then with pauses. */
const END_SPIN_MS = 2;

interface Libc {
  spawn(pid: number, path: number, actions: number, attributes: number, argv: number, envp: number): number;
  initActions(actions: number): number;
  addDup(actions: number, from: number, to: number): number;
  destroyActions(actions: number): number;
  initAttributes(attributes: number): number;
  setFlags(attributes: number, flags: number): number;
  setSignals(attributes: number, set: number): number;
}

/** Makes a pipe whose ends are close-on-exec. */
interface Pipe {
  readonly read: number;
  readonly write: number;
}

/** The function that CniDriver uses to execute a plugin. */
export function openSpawn(sys: Syscalls): ExecutePlugin {
  const libc = loadLibc();
  return async (path, { env, input, timeoutMs }) => {
    const [stdin, stdout, stderr] = [openPipe(sys), openPipe(sys), openPipe(sys)];
    const toChild = new Socket({ fd: stdin.write, readable: false, writable: true });
    const [out, err] = [collect(stdout.read), collect(stderr.read)];
    // A plugin may end without reading its input.
    toChild.on('error', () => toChild.destroy());
    const childEnds = [stdin.read, stdout.write, stderr.write];
    const startNs = monotonicNs();
    const spawned = sys.arena.scope(() => spawn(sys, libc, path, env, childEnds));
    for (const fd of childEnds) closeFd(sys, fd);
    if (spawned < 0) throw new OpError({ subsystem: 'exec', op: 'start', object: path, code: errnoName(-spawned) });
    const deadline = setTimeout(() => sys.call(sys.nr.kill, spawned, SIGKILL), timeoutMs);
    toChild.end(input);
    const [stdoutText, stderrText] = await Promise.all([out, err]);
    const status = await waitFor(sys, spawned);
    clearTimeout(deadline);
    return { ...endOf(status), stdout: stdoutText, stderr: stderrText, startNs, endNs: monotonicNs() };
  };
}

/** Returns the child's pid, or −errno. */
function spawn(sys: Syscalls, libc: Libc, path: string, env: Record<string, string>, fds: readonly number[]): number {
  const [actions, attributes, pid] = [sys.arena.alloc(OPAQUE_BYTES), sys.arena.alloc(OPAQUE_BYTES), sys.arena.alloc(8)];
  libc.initActions(actions.address);
  for (const [to, from] of fds.entries()) libc.addDup(actions.address, from, to);
  libc.initAttributes(attributes.address);
  libc.setFlags(attributes.address, POSIX_SPAWN_SETSIGDEF);
  const signals = sys.arena.alloc(SIGSET_BYTES);
  for (const signal of RESET_SIGNALS) signals.setU32(0, signals.u32(0) | (1 << (signal - 1)));
  libc.setSignals(attributes.address, signals.address);
  const argv = stringArray(sys, [path]);
  const envp = stringArray(
    sys,
    Object.entries(env).map(([name, value]) => `${name}=${value}`),
  );
  const file = sys.arena.cstring(path);
  const failed = libc.spawn(pid.address, file.address, actions.address, attributes.address, argv, envp);
  libc.destroyActions(actions.address);
  return failed === 0 ? pid.i32(0) : -failed;
}

/** Writes an array of pointers to C strings that ends with a null pointer. */
function stringArray(sys: Syscalls, texts: readonly string[]): number {
  const array = sys.arena.alloc((texts.length + 1) * 8);
  for (const [index, text] of texts.entries()) array.setU64(index * 8, sys.arena.cstring(text).address);
  return array.address;
}

function openPipe(sys: Syscalls): Pipe {
  return sys.arena.scope(() => {
    const fds = sys.arena.alloc(8);
    check(sys.call(sys.nr.pipe2, fds.address, O_CLOEXEC), 'make', 'pipe');
    return { read: fds.i32(0), write: fds.i32(4) };
  });
}

async function collect(fd: number): Promise<string> {
  const socket = new Socket({ fd, readable: true, writable: false });
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  await once(socket, 'close');
  return Buffer.concat(chunks).toString('utf8');
}

/** Waits for the end of a child and returns its status as wait(2) has it. */
async function waitFor(sys: Syscalls, pid: number): Promise<number> {
  const spinUntil = performance.now() + END_SPIN_MS;
  for (;;) {
    const status = ended(sys, pid);
    if (status !== undefined) return status;
    if (performance.now() > spinUntil) await sleep(1);
  }
}

function ended(sys: Syscalls, pid: number): number | undefined {
  return sys.arena.scope(() => {
    const status = sys.arena.alloc(4);
    const found = check(sys.call(sys.nr.wait4, pid, status.address, WNOHANG), 'wait for', `process ${pid}`);
    return found === 0 ? undefined : status.u32(0);
  });
}

/** In the status of wait(2), the low seven bits are a signal, or they are 0 and the exit code is above them. */
function endOf(status: number): { exitCode: number | null; signal: string | null } {
  const signal = status & 0x7f;
  if (signal === 0) return { exitCode: (status >> 8) & 0xff, signal: null };
  return { exitCode: null, signal: signal === SIGKILL ? 'SIGKILL' : `signal ${signal}` };
}

function loadLibc(): Libc {
  const lib = koffi.load('libc.so.6');
  // The addresses are those of arena slots. They are passed as plain integers.
  const func = (signature: string): unknown => lib.func(signature);
  return {
    spawn: func('int posix_spawn(int64_t, int64_t, int64_t, int64_t, int64_t, int64_t)') as Libc['spawn'],
    initActions: func('int posix_spawn_file_actions_init(int64_t)') as Libc['initActions'],
    addDup: func('int posix_spawn_file_actions_adddup2(int64_t, int, int)') as Libc['addDup'],
    destroyActions: func('int posix_spawn_file_actions_destroy(int64_t)') as Libc['destroyActions'],
    initAttributes: func('int posix_spawnattr_init(int64_t)') as Libc['initAttributes'],
    setFlags: func('int posix_spawnattr_setflags(int64_t, short)') as Libc['setFlags'],
    setSignals: func('int posix_spawnattr_setsigdefault(int64_t, int64_t)') as Libc['setSignals'],
  };
}
