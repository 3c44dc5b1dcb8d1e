// What the lab reads from /proc (proc(5)): which processes live, since when, whose children they are, and their pids inside.

import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { OpError } from '../../lib/errors.ts';

/** A process that cannot be mistaken for a later one with the same number. */
export interface ProcessId {
  readonly pid: number;
  /** Clock ticks after boot at which it started (proc(5), stat field 22). */
  readonly startTime: number;
}

/** Undefined when there is no such process. */
export function processId(pid: number): ProcessId | undefined {
  const startTime = Number(statFields(pid)?.[19]);
  return Number.isNaN(startTime) ? undefined : { pid, startTime };
}

/** False for a zombie: nothing of it is left but its exit code. */
export function isAlive(id: ProcessId): boolean {
  const fields = statFields(id.pid);
  return fields !== undefined && fields[0] !== 'Z' && Number(fields[19]) === id.startTime;
}

export function parentOf(pid: number): number | undefined {
  const parent = statFields(pid)?.[1];
  return parent === undefined ? undefined : Number(parent);
}

/** The fields of /proc/PID/stat after the name, which may hold anything: index 0 is field 3, the state. */
function statFields(pid: number): string[] | undefined {
  const text = readProc(`/proc/${pid}/stat`);
  return text?.slice(text.lastIndexOf(')') + 2).split(' ');
}

/** Its arguments; undefined when it is gone, empty for a zombie. */
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

/** The process and all below it, parents first. */
export function descendantsOf(pid: number): number[] {
  return [pid, ...childrenOf(pid).flatMap(descendantsOf)];
}

/** Our number for the process that is `inner` in the PID namespace whose first process is `init`. */
export function pidFromInside(init: number, inner: number): number | undefined {
  // proc(5): the numbers in all namespaces a process is in, ours first.
  const numbers = (pid: number): string[] =>
    /^NSpid:\s*(.*)$/m.exec(readProc(`/proc/${pid}/status`) ?? '')?.[1]?.split(/\s+/) ?? [];
  const depth = numbers(init).length - 1;
  return descendantsOf(init).find((pid) => Number(numbers(pid)[depth]) === inner);
}

/** Resolves when it is gone, its namespaces with it; OpError (ETIMEDOUT) when it still lives after `timeoutMs`. */
export async function waitGone(id: ProcessId, timeoutMs: number): Promise<void> {
  await waitUntil(() => !isAlive(id), timeoutMs, `end of process ${id.pid}`);
}

/** Looks every 5 ms; OpError (ETIMEDOUT) when `condition` has not come true after `timeoutMs`. */
export async function waitUntil(
  condition: () => boolean | Promise<boolean>,
  timeoutMs: number,
  what: string,
): Promise<void> {
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
    await sleep(5);
  }
}

function readProc(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    // Gone between listing and reading (ENOENT, ESRCH): the same as never there.
    return undefined;
  }
}
