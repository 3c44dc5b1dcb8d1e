// Whether others had the processors while something was measured. proc(5), /proc/stat and /proc/PID/stat: times are
// hundredths of a second.

import { readdirSync, readFileSync } from 'node:fs';

/** Hundredths of a second since boot. */
export interface Times {
  readonly atMs: number;
  /** All programs and kernel threads; not interrupts. */
  readonly busy: number;
  /** What the hypervisor gave to others. */
  readonly stolen: number;
  readonly kernelThreads: number;
  /** This process and all its children that have been waited for. */
  readonly own: number;
}

/** In processors: 1 is one of them, all the time. */
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
  // Counted from the state, which is field 3: parent 4, utime 14, stime 15, cutime 16, cstime 17.
  const [parent = 0, utime = 0, stime = 0, cutime = 0, cstime = 0] = [1, 11, 12, 13, 14].map((at) => fields[at]);
  return { parent, time: utime + stime, withChildren: utime + stime + cutime + cstime };
}

export function othersLoad(before: Times, after: Times): OthersLoad {
  const ticks = ((after.atMs - before.atMs) / 1000) * TICKS_PER_SEC;
  const since = (of: 'busy' | 'stolen' | 'kernelThreads' | 'own'): number => (after[of] - before[of]) / ticks;
  return { others: Math.max(0, since('busy') - since('kernelThreads') - since('own')), stolen: since('stolen') };
}

/** The share of one processor others may have before a figure is not to be trusted. */
const MOST = 0.25;

const DISTURBED = 'DISTURBED: ';

/** Whether these notes of a part say that something disturbed it. */
export function isDisturbed(notes: readonly string[]): boolean {
  return notes.some((note) => note.startsWith(DISTURBED));
}

/** What is to be told of it; nothing on a quiet machine. */
export function describeLoad({ others, stolen }: OthersLoad): string[] {
  return [
    ...(others > MOST ? [`${DISTURBED}other programs had ${others.toFixed(1)} processors meanwhile`] : []),
    ...(stolen > MOST ? [`${DISTURBED}the hypervisor gave ${stolen.toFixed(1)} processors to others meanwhile`] : []),
  ];
}
