// Ending in order: what must be done on Ctrl-C, on SIGTERM, and when npm itself was killed, which leaves its child running.
import { readFileSync } from 'node:fs';
import { constants } from 'node:os';

const LOOK_MS = 200;
const SHELLS = new Set(['sh', 'dash', 'bash']);

/** Calls `clean` once, at the first signal or when npm is gone, and then ends this process. */
export function endInOrder(clean) {
  let ending = false;
  const end = async (code) => {
    if (ending) return;
    ending = true;
    try {
      await clean();
    } finally {
      process.exit(code);
    }
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => end(128 + constants.signals[signal]));
  const callers = npmAndItsShell();
  const timer = setInterval(() => {
    if (callers.some((caller) => startTime(caller.pid) !== caller.start)) void end(128 + constants.signals.SIGTERM);
  }, LOOK_MS);
  timer.unref();
}

/** npm, and the shell between npm and this process where there is one; empty when npm did not start it. */
function npmAndItsShell() {
  if (process.env.npm_lifecycle_event === undefined) return [];
  const parent = process.ppid;
  const pids = SHELLS.has(stat(parent)?.name) ? [parent, stat(parent).parent] : [parent];
  return pids.map((pid) => ({ pid, start: startTime(pid) }));
}

function startTime(pid) {
  return stat(pid)?.start;
}

/** proc(5): the name in parentheses, then state and parent; the start time is field 22. */
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
