// Child processes for the single-threaded engine: fork, exec with three pipes served by one ppoll loop,
// a deadline, and detached helpers. execve(2), pipe2(2), wait4(2). The agent uses node:child_process.

import { monotonicMs, sleepMs } from './clock.ts';
import { EAGAIN, EPIPE, ETXTBSY } from './errno.ts';
import { closeFd, joinBytes } from './file.ts';
import { POLLIN, POLLOUT, type PollEntry, pollFds } from './socket.ts';
import { check, SysError, uninterrupted } from './sys-error.ts';
import type { Syscalls } from './syscalls.ts';

const O_CLOEXEC = 0o2000000;
const O_NONBLOCK = 0o4000;
const F_DUPFD_CLOEXEC = 1030;
const F_SETFL = 4;
const SIGKILL = 9;
const SIGPIPE = 13;
const WNOHANG = 1;
/** How much one read takes from a child's pipe, in bytes. */
const CHUNK_BYTES = 64 * 1024;
/** How often execve is tried again on ETXTBSY, while another process still writes the executable; pauses double from 10 ms. */
const BUSY_TRIES = 9;

export interface Command {
  /** The executable's path; PATH is not searched. */
  readonly path: string;
  readonly argv: readonly string[];
  /** `NAME=value`, the child's whole environment. */
  readonly env: readonly string[];
  readonly stdin: Uint8Array;
  /** Milliseconds until the child is killed with SIGKILL. */
  readonly deadlineMs: number;
  /** The most bytes taken from stdout and from stderr each; a child that writes more is killed. */
  readonly maxOutputBytes: number;
}

export interface Finished {
  /** Exit status, or undefined when a signal ended it. */
  readonly exitCode: number | undefined;
  readonly signal: number | undefined;
  readonly stdout: Uint8Array;
  readonly stderr: Uint8Array;
  /** The reason, when this code killed the child. */
  readonly killed: 'deadline' | 'output' | undefined;
}

/**
 * Runs a command to its end. Throws a SysError when it cannot be executed; otherwise returns its result, whatever that is. Input and output
 * may be of any size at the same time.
 */
export function runCommand(sys: Syscalls, command: Command): Finished {
  let pauseMs = 10;
  for (let tries = 1; ; tries += 1) {
    try {
      return runOnce(sys, command);
    } catch (error) {
      if (!(error instanceof SysError) || error.errno !== ETXTBSY || tries === BUSY_TRIES) throw error;
      sleepMs(sys, pauseMs);
      pauseMs *= 2;
    }
  }
}

/**
 * Forks a helper that runs `body` and ends. Its standard descriptors are closed first, since a runtime
 * waits for the end of our stdout. Never returns in the child, whatever `body` does. Returns its id.
 */
export function forkHelper(sys: Syscalls, body: () => void): number {
  const pid = check(sys.fork(), 'fork', 'helper');
  if (pid !== 0) return pid;
  try {
    for (const fd of [0, 1, 2]) closeFd(sys, fd);
    body();
  } finally {
    for (;;) sys.call(sys.nr.exit_group, 0);
  }
}

/** The ends of the pipes on our side. */
interface Pipes {
  readonly stdin: number;
  readonly stdout: number;
  readonly stderr: number;
}

function runOnce(sys: Syscalls, command: Command): Finished {
  const deadline = monotonicMs(sys) + command.deadlineMs;
  const open: number[] = [];
  try {
    const stdin = openPipe(sys, open);
    const stdout = openPipe(sys, open);
    const stderr = openPipe(sys, open);
    const status = openPipe(sys, open);
    const pid = execChild(sys, command, [stdin.read, stdout.write, stderr.write, status.write]);
    for (const fd of [stdin.read, stdout.write, stderr.write, status.write]) {
      closeOnce(sys, open, fd);
    }
    const failed = readExecFailure(sys, status.read);
    if (failed !== 0) {
      waitFor(sys, pid, 0);
      throw new SysError('execute', command.path, failed);
    }
    const pipes = { stdin: stdin.write, stdout: stdout.read, stderr: stderr.read };
    return new Exchange(sys, command, pipes, deadline, (fd) => closeOnce(sys, open, fd)).finish(pid);
  } finally {
    for (const fd of open) closeFd(sys, fd);
  }
}

function openPipe(sys: Syscalls, open: number[]): { read: number; write: number } {
  return sys.arena.scope(() => {
    const ends = sys.arena.alloc(8);
    check(sys.call(sys.nr.pipe2, ends.address, O_CLOEXEC), 'open', 'pipe');
    const read = aboveStandard(sys, ends.i32(0));
    const write = aboveStandard(sys, ends.i32(4));
    open.push(read, write);
    return { read, write };
  });
}

/** Our own standard descriptors may be closed. A pipe must not take their numbers. */
function aboveStandard(sys: Syscalls, fd: number): number {
  if (fd > 2) return fd;
  const moved = check(sys.call(sys.nr.fcntl, fd, F_DUPFD_CLOEXEC, 3), 'move', `fd ${fd}`);
  closeFd(sys, fd);
  return moved;
}

function closeOnce(sys: Syscalls, open: number[], fd: number): void {
  const index = open.indexOf(fd);
  if (index < 0) return;
  open.splice(index, 1);
  closeFd(sys, fd);
}

/** Forks and executes; everything that the child needs is prepared before, so that the child only makes system calls. */
function execChild(sys: Syscalls, command: Command, fds: readonly number[]): number {
  return sys.arena.scope(() => {
    const path = sys.arena.textAddress(command.path);
    const argv = stringArray(sys, command.argv);
    const env = stringArray(sys, command.env);
    const defaultAction = sys.arena.alloc(32).address;
    const errno = sys.arena.alloc(4);
    const pid = check(sys.fork(), 'fork', command.path);
    if (pid !== 0) return pid;
    const [stdin = -1, stdout = -1, stderr = -1, status = -1] = fds;
    sys.call(sys.nr.dup3, stdin, 0, 0);
    sys.call(sys.nr.dup3, stdout, 1, 0);
    sys.call(sys.nr.dup3, stderr, 2, 0);
    // We ignore SIGPIPE, and an ignored signal stays ignored through exec.
    sys.call(sys.nr.rt_sigaction, SIGPIPE, defaultAction, 0, 8);
    errno.setI32(0, -sys.call(sys.nr.execve, path, argv, env));
    sys.call(sys.nr.write, status, errno.address, 4);
    for (;;) sys.call(sys.nr.exit_group, 127);
  });
}

function stringArray(sys: Syscalls, texts: readonly string[]): number {
  const array = sys.arena.alloc((texts.length + 1) * 8);
  texts.forEach((text, index) => {
    array.setU64(index * 8, sys.arena.textAddress(text));
  });
  return array.address;
}

/** When exec succeeds, the status pipe is closed. Otherwise the child has written its errno into it. */
function readExecFailure(sys: Syscalls, fd: number): number {
  return sys.arena.scope(() => {
    const errno = sys.arena.alloc(4);
    const count = uninterrupted(sys, sys.nr.read, fd, errno.address, 4);
    return count === 4 ? errno.i32(0) : 0;
  });
}

/** Writes to and reads from one running child. */
class Exchange {
  private readonly sys: Syscalls;
  private readonly command: Command;
  private readonly pipes: Pipes;
  private readonly deadline: number;
  private readonly close: (fd: number) => void;
  private readonly output = new Map<number, Uint8Array[]>();
  private sent = 0;
  private killed: Finished['killed'];

  constructor(sys: Syscalls, command: Command, pipes: Pipes, deadline: number, close: (fd: number) => void) {
    this.sys = sys;
    this.command = command;
    this.pipes = pipes;
    this.deadline = deadline;
    this.close = close;
  }

  finish(pid: number): Finished {
    const { stdout, stderr } = this.pipes;
    const ended = this.ended(pid);
    const signal = ended & 0x7f;
    return {
      exitCode: signal === 0 ? (ended >> 8) & 0xff : undefined,
      signal: signal === 0 ? undefined : signal,
      stdout: joinBytes(this.output.get(stdout) ?? []),
      stderr: joinBytes(this.output.get(stderr) ?? []),
      killed: this.killed,
    };
  }

  /** The wait status. It is always read, even after an error, so that no zombie is left. */
  private ended(pid: number): number {
    let status: number | undefined;
    try {
      this.serve();
      if (this.killed === undefined) status = this.await(pid);
    } finally {
      status ??= this.kill(pid);
    }
    return status;
  }

  /** Until both outputs are closed, or there is a reason to kill the child. */
  private serve(): void {
    const sys = this.sys;
    const { stdin, stdout, stderr } = this.pipes;
    for (const fd of [stdin, stdout, stderr]) sys.call(sys.nr.fcntl, fd, F_SETFL, O_NONBLOCK);
    const reading = new Set([stdout, stderr]);
    let writing = this.feed();
    while (reading.size > 0) {
      const entries: PollEntry[] = [...reading].map((fd) => ({ fd, events: POLLIN }));
      if (writing) entries.push({ fd: stdin, events: POLLOUT });
      const leftMs = this.deadline - monotonicMs(sys);
      if (leftMs <= 0) {
        this.killed = 'deadline';
        return;
      }
      const ready = pollFds(sys, entries, leftMs);
      entries.forEach(({ fd }, index) => {
        if (ready[index] === 0) return;
        if (fd === stdin) writing = this.feed();
        else if (!this.drain(fd)) reading.delete(fd);
      });
      if (this.killed !== undefined) return;
    }
  }

  /** Writes as much as the pipe accepts. Returns false once everything is written or the child has stopped reading. */
  private feed(): boolean {
    const sys = this.sys;
    const { stdin } = this.command;
    while (this.sent < stdin.length) {
      const piece = stdin.subarray(this.sent, this.sent + CHUNK_BYTES);
      const count = sys.arena.scope(() =>
        sys.call(sys.nr.write, this.pipes.stdin, sys.arena.copy(piece).address, piece.length),
      );
      if (count === -EAGAIN) return true;
      if (count === -EPIPE) break;
      this.sent += check(count, 'write to', this.command.path);
    }
    this.close(this.pipes.stdin);
    return false;
  }

  /** Reads what is there. Returns false at the end. */
  private drain(fd: number): boolean {
    const sys = this.sys;
    const parts = this.output.get(fd) ?? [];
    this.output.set(fd, parts);
    return sys.arena.scope(() => {
      const chunk = sys.arena.buffer(CHUNK_BYTES);
      const count = sys.call(sys.nr.read, fd, chunk.address, chunk.length);
      if (count === -EAGAIN) return true;
      if (check(count, 'read from', this.command.path) === 0) return false;
      parts.push(chunk.bytes(0, count).slice());
      const total = parts.reduce((sum, part) => sum + part.length, 0);
      if (total > this.command.maxOutputBytes) this.killed = 'output';
      return true;
    });
  }

  /** Both outputs are closed, so the child will end soon: waits for that with growing pauses until the deadline. */
  private await(pid: number): number | undefined {
    for (let pauseMs = 0.05; ; pauseMs = Math.min(pauseMs * 2, 10)) {
      const status = waitFor(this.sys, pid, WNOHANG);
      if (status !== undefined) return status;
      if (monotonicMs(this.sys) > this.deadline) {
        this.killed = 'deadline';
        return undefined;
      }
      sleepMs(this.sys, pauseMs);
    }
  }

  private kill(pid: number): number {
    this.sys.call(this.sys.nr.kill, pid, SIGKILL);
    return waitFor(this.sys, pid, 0) ?? 0;
  }
}

/** The wait status of an ended child; undefined when it still runs and WNOHANG was given. */
function waitFor(sys: Syscalls, pid: number, options: number): number | undefined {
  return sys.arena.scope(() => {
    const status = sys.arena.alloc(4);
    const value = uninterrupted(sys, sys.nr.wait4, pid, status.address, options, 0);
    return check(value, 'wait for', `process ${pid}`) === 0 ? undefined : status.u32(0);
  });
}
