// The agent's event loop under the eyes of the kernel (lib/sys/deadline-node.ts) and of systemd (WatchdogSec=,
// sd_notify(3)): it says every two seconds that it runs. When it no longer does, the process is ended, and whoever
// started it starts it again; the data plane forwards meanwhile.

import { type Deadline, startDeadline } from '../../lib/sys/deadline-node.ts';
import type { Syscalls } from '../../lib/sys/syscalls.ts';

const BEAT_MS = 2000;
/** Of SIGTERM's five seconds: what a clean stop may take before it is broken off, and before the kernel ends the process. */
const STOP_MS = 3500;
const STOP_SEC = 4;

export interface WatchdogTools {
  readonly sys: Syscalls;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Sends a state to systemd; absent: nobody asked for it. */
  readonly notify: ((state: string) => void) | undefined;
}

export interface Watchdog {
  /** The agent is to stop: in four seconds it is ended, `onLate` is called before. */
  stopping(onLate: () => void): void;
}

export function startWatchdog({ sys, env, notify }: WatchdogTools): Watchdog {
  const deadline = startDeadline(sys);
  const systemdMs = watchdogMs(env, process.pid);
  every(BEAT_MS, deadline.beat);
  if (notify !== undefined && systemdMs !== undefined) every(systemdMs / 2, () => tellAlive(notify));
  return { stopping: (onLate) => stop(deadline, onLate) };
}

/** What systemd gives between two signs of life, in milliseconds; undefined: it expects none of this process. */
export function watchdogMs(env: WatchdogTools['env'], pid: number): number | undefined {
  const { WATCHDOG_USEC: micros = '', WATCHDOG_PID: forPid = String(pid) } = env;
  return /^[1-9][0-9]{0,14}$/.test(micros) && forPid === String(pid) ? Number(micros) / 1000 : undefined;
}

/** What systemd does not hear it judges by itself. */
function tellAlive(notify: (state: string) => void): void {
  try {
    notify('WATCHDOG=1');
  } catch {
    // the next one may get through
  }
}

function every(ms: number, body: () => void): void {
  setInterval(body, ms).unref();
}

function stop(deadline: Deadline, onLate: () => void): void {
  deadline.last(STOP_SEC);
  setTimeout(onLate, STOP_MS).unref();
}
