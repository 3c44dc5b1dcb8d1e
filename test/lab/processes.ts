// What the lab reads from /proc (proc(5)): which processes live, since when, whose children they are, and their pids inside.

import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { OpError } from '../../lib/errors.ts';
import { slowed } from '../support/slowness.ts';

const CHECK_MS = 5;

/** A process, identified so that it cannot be confused with a later process that has the same pid. */
export interface ProcessId {
  readonly pid: number;
  /** When the process started, in clock ticks since the boot (proc(5), stat field 22). */
  readonly startTime: number;
}

/** Returns undefined when there is no such process. */
export function processId(pid: number): ProcessId | undefined {
  const startTime = Number(statFields(pid)?.[19]);
  return Number.isNaN(startTime) ? undefined : { pid, startTime };
}

/** Returns false for a zombie, of which only the exit code is left. */
export function isAlive(id: ProcessId): boolean {
  const fields = statFields(id.pid);
  return fields !== undefined && fields[0] !== 'Z' && Number(fields[19]) === id.startTime;
}

export function parentOf(pid: number): number | undefined {
  const parent = statFields(pid)?.[1];
  return parent === undefined ? undefined : Number(parent);
}

/** Returns the fields of /proc/PID/stat after the name. The name may contain any character. Index 0 is field 3, the state. */
function statFields(pid: number): string[] | undefined {
  const text = readProc(`/proc/${pid}/stat`);
  return text?.slice(text.lastIndexOf(')') + 2).split(' ');
}

/** Returns the process's arguments; undefined when it is gone, an empty list for a zombie. */
export function commandLine(pid: number): string[] | undefined {
  return readProc(`/proc/${pid}/cmdline`)?.split('\0').slice(0, -1);
}

export function listPids(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

export function childrenOf(pid: number): number[] {
  const text = readProc(`/proc/${pid}/task/${pid}/children`) ?? '';
  return text.split(' ').filter(Boolean).map(Number);
}

/** Returns the pids of the process and of all processes below it, parents first. */
export function descendantsOf(pid: number): number[] {
  return [pid, ...childrenOf(pid).flatMap(descendantsOf)];
}

/** Returns the pid, as seen here, of the process that has the pid `inner` in the PID namespace whose first process is `init`. */
export function pidFromInside(init: number, inner: number): number | undefined {
  // The line has the pids in all namespaces of the process, ours first (proc(5)).
  const numbers = (pid: number): string[] =>
    /^NSpid:\s*(.*)$/m.exec(readProc(`/proc/${pid}/status`) ?? '')?.[1]?.split(/\s+/) ?? [];
  const depth = numbers(init).length - 1;
  return descendantsOf(init).find((pid) => Number(numbers(pid)[depth]) === inner);
}

/**
 * Resolves when the process and its namespaces are gone. Rejects with an OpError (ETIMEDOUT) when it still runs after `timeoutMs`.
 */
export async function waitGone(id: ProcessId, timeoutMs: number): Promise<void> {
  await waitUntil(() => !isAlive(id), timeoutMs, `end of process ${id.pid}`);
}

/** Checks every 5 ms, and less often where a check takes longer. Rejects with an OpError (ETIMEDOUT) when `condition` is still false after `timeoutMs`. */
export async function waitUntil(
  condition: () => boolean | Promise<boolean>,
  limitMs: number,
  what: string,
): Promise<void> {
  const timeoutMs = slowed(limitMs);
  const deadline = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > deadline) {
      throw new OpError({
        subsystem: 'lab',
        op: 'wait for',
        object: what,
        code: 'ETIMEDOUT',
        detail: `${timeoutMs} ms`,
      });
    }
    await sleep(slowed(CHECK_MS));
  }
}

function readProc(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    // The process ended between listing and reading (ENOENT, ESRCH). It is treated as if it had never been listed.
    return undefined;
  }
}
