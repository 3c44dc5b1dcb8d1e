// A watchdog for the agent's event loop. Every two seconds the loop resets a kernel timer (lib/sys/deadline-node.ts), and it
// tells systemd that it is alive (WatchdogSec=, sd_notify(3)). When it hangs, the kernel or systemd ends the process and the
// supervisor starts it again. The data plane forwards meanwhile.

import { type Deadline, startDeadline } from '../../lib/sys/deadline-node.ts';
import type { Syscalls } from '../../lib/sys/syscalls.ts';

const BEAT_MS = 2000;
/** After SIGTERM a stop is broken off after STOP_MS, and the kernel ends the process after STOP_SEC. Both fit into 5 s. */
const STOP_MS = 3500;
const STOP_SEC = 4;

export interface WatchdogTools {
  readonly sys: Syscalls;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Sends a state to systemd; undefined when systemd did not ask for it. */
  readonly notify: ((state: string) => void) | undefined;
}

export interface Watchdog {
  /** Call when the agent starts to stop: `onLate` is called after 3.5 s, and the kernel ends the process after 4 s. */
  stopping(onLate: () => void): void;
}

export function startWatchdog({ sys, env, notify }: WatchdogTools): Watchdog {
  const deadline = startDeadline(sys);
  const systemdMs = watchdogMs(env, process.pid);
  every(BEAT_MS, deadline.beat);
  if (notify !== undefined && systemdMs !== undefined) every(systemdMs / 2, () => tellAlive(notify));
  return { stopping: (onLate) => stop(deadline, onLate) };
}

/** How long systemd waits for a sign of life, in milliseconds; undefined when it expects none from this process. */
export function watchdogMs(env: WatchdogTools['env'], pid: number): number | undefined {
  const { WATCHDOG_USEC: micros = '', WATCHDOG_PID: forPid = String(pid) } = env;
  return /^[1-9][0-9]{0,14}$/.test(micros) && forPid === String(pid) ? Number(micros) / 1000 : undefined;
}

/** A failure is ignored: if no message gets through, systemd acts by its own timeout. */
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
