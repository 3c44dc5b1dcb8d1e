// Writes the agent's log to standard error, each line at once, because the last line before the process ends matters most. When nobody
// reads the log, lines are dropped and counted, and the agent goes on.

import { writeSync } from 'node:fs';
import { printableJson } from '../../lib/printable.ts';
import { POLLOUT, pollFds } from '../../lib/sys/socket.ts';
import type { Syscalls } from '../../lib/sys/syscalls.ts';
import type { LogSink } from './log.ts';

const STDERR = 2;
/** How long one line waits for a slow reader, in milliseconds. After a line that waited in vain the next ones do not wait. */
const PATIENCE_MS = 500;
/** A pipe that poll(2) reports as writable takes this many bytes without blocking (PIPE_BUF, pipe(7)). */
const PIECE_BYTES = 4096;

/** Writes lines to `fd`; a line never waits longer than PATIENCE_MS at a time. */
export function stderrSink(sys: Syscalls, fd = STDERR): LogSink {
  let lost = 0;
  const isWritable = (waitMs: number): boolean => {
    try {
      return (pollFds(sys, [{ fd, events: POLLOUT }], waitMs)[0] ?? 0) !== 0;
    } catch {
      // The arena may be exhausted, and this line may report that, so try to write it.
      return true;
    }
  };
  const put = (line: string): boolean => {
    const bytes = Buffer.from(line);
    for (let at = 0; at < bytes.length; ) {
      // The rest of a line that was begun may always wait, because half a line would spoil the next one.
      if (!isWritable(lost === 0 || at > 0 ? PATIENCE_MS : 0)) return false;
      at += writeSync(fd, bytes, at, Math.min(PIECE_BYTES, bytes.length - at));
    }
    return true;
  };
  const tryPut = (line: string): boolean => {
    try {
      return put(line);
    } catch {
      // The reader is gone (EPIPE), the disk is full, or another writer filled the pipe first (EAGAIN).
      return false;
    }
  };
  return {
    write(line) {
      if (lost > 0 && tryPut(lostLine(lost))) lost = 0;
      if (lost > 0 || !tryPut(printableJson(line))) lost += 1;
    },
  };
}

function lostLine(lines: number): string {
  const time = new Date().toISOString();
  return `${JSON.stringify({ level: 'warn', time, lines, msg: 'lines of this log were lost, because no program read it' })}\n`;
}
