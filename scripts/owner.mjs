// Cleans up on Ctrl-C, on SIGTERM, and when npm itself was killed, which would otherwise leave this process running.
import { readFileSync } from 'node:fs';
import { constants } from 'node:os';

const LOOK_MS = 200;
const SHELLS = new Set(['sh', 'dash', 'bash']);

/**
 * Calls `clean` once, at the first signal or when npm is gone, and then ends this process. Prints what it does; `clean` resolves to the
 * last line. Returns a function that passes a promise through until the end has begun. Afterwards that promise never settles: whatever
 * fails then does so because its parts are being removed, and must not be shown as an error.
 */
export function endInOrder(clean) {
  let ending = false;
  const end = async (signal, cause) => {
    if (ending) return;
    ending = true;
    say(`\n${cause}: removing what was started…\n`);
    try {
      say(`${await clean()}\n`);
    } catch (error) {
      say(`not all could be removed: ${error.message}\n`);
    } finally {
      process.exit(128 + constants.signals[signal]);
    }
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.on(signal, () => end(signal, signal === 'SIGINT' ? 'Ctrl-C' : signal));
  }
  const callers = npmAndItsShell();
  const timer = setInterval(() => {
    if (callers.some((caller) => startTime(caller.pid) !== caller.start)) void end('SIGTERM', 'npm is gone');
  }, LOOK_MS);
  timer.unref();
  return async (work) => {
    const never = new Promise(() => undefined);
    try {
      const result = await work;
      return ending ? await never : result;
    } catch (error) {
      if (ending) await never;
      throw error;
    }
  };
}

/** Prints a text. The reader may be gone, which must not stop the clean-up. */
function say(text) {
  process.stderr.on('error', () => undefined);
  process.stderr.write(text);
}

/** The processes of npm and of the shell between npm and this process, if any; empty when npm did not start it. */
function npmAndItsShell() {
  if (process.env.npm_lifecycle_event === undefined) return [];
  const parent = process.ppid;
  const pids = SHELLS.has(stat(parent)?.name) ? [parent, stat(parent).parent] : [parent];
  return pids.map((pid) => ({ pid, start: startTime(pid) }));
}

function startTime(pid) {
  return stat(pid)?.start;
}

/** Reads /proc/PID/stat (proc(5)): the name in parentheses, then state and parent; the start time is field 22. */
function stat(pid) {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const [open, close] = [text.indexOf('('), text.lastIndexOf(')')];
    const fields = text.slice(close + 2).split(' ');
    return { name: text.slice(open + 1, close), parent: Number(fields[1]), start: fields[19] };
  } catch {
    return undefined;
  }
}
