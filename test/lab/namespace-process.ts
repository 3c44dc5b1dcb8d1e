// Starts a program as the first thing in namespaces of its own: unshare(1) below setpriv(1), as `lab.md` wants it.
// Killing the first process inside, or whoever started it, ends everything inside.

import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import { childrenOf, isAlive, type ProcessId, processId, waitGone } from './processes.ts';

export type NamespaceKind = 'mount' | 'net' | 'pid' | 'uts' | 'ipc';

export interface NamespaceProgram {
  readonly namespaces: readonly NamespaceKind[];
  /** How `ps` shows its first process. */
  readonly title: string;
  readonly argv: readonly string[];
  /** Ends with the thread that starts it, however that ends. */
  readonly diesWithParent: boolean;
  readonly stdio: StdioOptions;
}

/**
 * The first process inside is a shell that waits: it reaps what programs leave behind, which Node does not do.
 * A background job of a shell has /dev/null for stdin; other descriptors pass through.
 */
const REAPER = '"$@" & wait';

/** The child that is returned is unshare(1); it ends when the first process inside has ended. */
export function startInNamespaces(program: NamespaceProgram): ChildProcess {
  const guard = program.diesWithParent ? ['setpriv', '--pdeathsig', 'KILL', '--'] : [];
  const flags = program.namespaces.map((kind) => `--${kind}`);
  const unshare = ['unshare', ...flags, '--fork', '--kill-child', '--mount-proc', '--propagation', 'private', '--'];
  const [file = '', ...args] = [...guard, ...unshare, 'sh', '-c', REAPER, program.title, ...program.argv];
  // Its own session: what a terminal sends (Ctrl-C) reaches the owner only, which then ends it in order.
  return spawn(file, args, { detached: true, stdio: program.stdio });
}

/** The first process inside the namespaces `unshare` made; undefined when it has ended. */
export function firstInside(unshare: ChildProcess): ProcessId | undefined {
  const [pid] = unshare.pid === undefined ? [] : childrenOf(unshare.pid);
  return pid === undefined ? undefined : processId(pid);
}

/** Kills the first process inside and, through it, all others; resolves when they are gone. */
export async function endNamespaces(first: ProcessId, timeoutMs = 10_000): Promise<void> {
  // Its number may be another process's by now.
  if (!isAlive(first)) return;
  try {
    process.kill(first.pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
  await waitGone(first, timeoutMs);
}
