// A watchdog for the agent's event loop. Every two seconds the loop resets a kernel timer (lib/sys/deadline.c), and it
// tells systemd that it is alive (WatchdogSec=, sd_notify(3)). When it hangs, the kernel or systemd ends the process and the
// supervisor starts it again. The data plane forwards meanwhile.

import { startDeadline } from '../../lib/sys/deadline-node.ts';
import { stretched } from '../cli/time-factor.ts';

const BEAT_MS = 2000;
/** If a stop takes this long, the event loop breaks it off itself; the kernel's timer would end the process after 4 s. */
const STOP_MS = 3500;

export interface WatchdogTools {
  /** The path of deadline.so. */
  readonly library: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Sends a state to systemd; undefined when systemd did not ask for it. */
  readonly notify: ((state: string) => void) | undefined;
}

export interface Watchdog {
  /** Call when the agent starts to stop: `onLate` is called after 3.5 s. */
  stopping(onLate: () => void): void;
}

/** Call it when SIGTERM and SIGINT have listeners. Throws when the library cannot be loaded. */
export function startWatchdog({ library, env, notify }: WatchdogTools): Watchdog {
  const deadline = startDeadline(library, stretched(1));
  const systemdMs = watchdogMs(env, process.pid);
  every(BEAT_MS, deadline.beat);
  if (notify !== undefined && systemdMs !== undefined) every(systemdMs / 2, () => tellAlive(notify));
  return { stopping: (onLate) => void setTimeout(onLate, stretched(STOP_MS)).unref() };
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
