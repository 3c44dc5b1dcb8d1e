// Starts a program as the first process in new namespaces, by unshare(1) and, inside it, setpriv(1). When the first process inside
// is killed, or the process that started it ends, everything inside ends.

import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import { childrenOf, isAlive, type ProcessId, processId, waitGone } from './processes.ts';

export type NamespaceKind = 'mount' | 'net' | 'pid' | 'uts' | 'ipc';

export interface NamespaceProgram {
  readonly namespaces: readonly NamespaceKind[];
  /** The text that `ps` shows for the first process. */
  readonly title: string;
  readonly argv: readonly string[];
  /** Whether it ends together with the thread that starts it, however that thread ends. */
  readonly diesWithParent: boolean;
  readonly stdio: StdioOptions;
}

/**
 * The first process inside is a shell that waits, because a shell reaps the processes that programs leave behind, and Node does
 * not. A background job of a shell has /dev/null as its stdin; other descriptors are passed through.
 */
const REAPER = '"$@" & wait';

/** Returns the child unshare(1), which ends when the first process inside has ended. */
export function startInNamespaces(program: NamespaceProgram): ChildProcess {
  const guard = program.diesWithParent ? ['setpriv', '--pdeathsig', 'KILL', '--'] : [];
  const flags = program.namespaces.map((kind) => `--${kind}`);
  const unshare = ['unshare', ...flags, '--fork', '--kill-child', '--mount-proc', '--propagation', 'private', '--'];
  const [file = '', ...args] = [...guard, ...unshare, 'sh', '-c', REAPER, program.title, ...program.argv];
  // It gets a session of its own. So Ctrl-C of the terminal reaches only the owner, which then ends it in order.
  return spawn(file, args, { detached: true, stdio: program.stdio });
}

/** Returns the first process inside the namespaces that `unshare` made; undefined when it has ended. */
export function firstInside(unshare: ChildProcess): ProcessId | undefined {
  const [pid] = unshare.pid === undefined ? [] : childrenOf(unshare.pid);
  return pid === undefined ? undefined : processId(pid);
}

/** Kills the first process inside, and with it all others. Resolves when they are gone. */
export async function endNamespaces(first: ProcessId, timeoutMs = 10_000): Promise<void> {
  // Another process may have its pid by now.
  if (!isAlive(first)) return;
  try {
    process.kill(first.pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
  await waitGone(first, timeoutMs);
}
