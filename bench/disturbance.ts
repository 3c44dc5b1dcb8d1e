// Finds out how much processor time other programs took while something was measured. Reads /proc/stat and /proc/PID/stat
// (proc(5)), whose times are in hundredths of a second.

import { readdirSync, readFileSync } from 'node:fs';

/** Processor times in hundredths of a second since boot. */
export interface Times {
  readonly atMs: number;
  /** Time of all programs and kernel threads, without interrupts. */
  readonly busy: number;
  /** Time in which the hypervisor ran other virtual machines. */
  readonly stolen: number;
  readonly kernelThreads: number;
  /** Time of this process and of all its children that have been waited for. */
  readonly own: number;
}

/** Load counted in processors: 1 is one processor that was busy all the time. */
export interface OthersLoad {
  readonly others: number;
  readonly stolen: number;
}

const TICKS_PER_SEC = 100;
const KTHREADD = 2;

export function readTimes(): Times {
  const [, user = 0, nice = 0, system = 0, , , , , steal = 0] = (
    readFileSync('/proc/stat', 'utf8').split('\n')[0] ?? ''
  )
    .split(/ +/)
    .map(Number);
  return {
    atMs: performance.now(),
    busy: user + nice + system,
    stolen: steal,
    kernelThreads: kernelThreadTime(),
    own: statOf('self')?.withChildren ?? 0,
  };
}

function kernelThreadTime(): number {
  let sum = 0;
  for (const pid of readdirSync('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    const stat = statOf(pid);
    if (stat?.parent === KTHREADD) sum += stat.time;
  }
  return sum;
}

function statOf(pid: string): { parent: number; time: number; withChildren: number } | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return undefined; // it has ended
  }
  const fields = text
    .slice(text.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number);
  // The list begins with field 3, the state. So these are field 4 (parent), 14 (utime), 15 (stime), 16 (cutime), 17 (cstime).
  const [parent = 0, utime = 0, stime = 0, cutime = 0, cstime = 0] = [1, 11, 12, 13, 14].map((at) => fields[at]);
  return { parent, time: utime + stime, withChildren: utime + stime + cutime + cstime };
}

export function othersLoad(before: Times, after: Times): OthersLoad {
  const ticks = ((after.atMs - before.atMs) / 1000) * TICKS_PER_SEC;
  const since = (of: 'busy' | 'stolen' | 'kernelThreads' | 'own'): number => (after[of] - before[of]) / ticks;
  return { others: Math.max(0, since('busy') - since('kernelThreads') - since('own')), stolen: since('stolen') };
}

/** Figures are not reliable when other programs took more than this share of one processor. */
const MOST = 0.25;

const DISTURBED = 'DISTURBED: ';

/** Whether these notes of a part say that something disturbed it. */
export function isDisturbed(notes: readonly string[]): boolean {
  return notes.some((note) => note.startsWith(DISTURBED));
}

/** Notes for the reader about that load; none on a quiet machine. */
export function describeLoad({ others, stolen }: OthersLoad): string[] {
  return [
    ...(others > MOST ? [`${DISTURBED}other programs had ${others.toFixed(1)} processors meanwhile`] : []),
    ...(stolen > MOST ? [`${DISTURBED}the hypervisor gave ${stolen.toFixed(1)} processors to others meanwhile`] : []),
  ];
}
