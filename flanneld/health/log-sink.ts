// Where the agent's log goes: standard error, written at once, since the last line before an end is the one that matters.
// Whoever reads it may stop reading: then lines are lost and counted, and the agent goes on.

import { writeSync } from 'node:fs';
import { printableJson } from '../../lib/printable.ts';
import { POLLOUT, pollFds } from '../../lib/sys/socket.ts';
import type { Syscalls } from '../../lib/sys/syscalls.ts';
import type { LogSink } from './log.ts';

const STDERR = 2;
/** How long one line waits for a slow reader, in milliseconds; those after one that waited in vain do not wait. */
const PATIENCE_MS = 500;
/** A pipe that poll(2) calls writable takes as much without blocking (PIPE_BUF, pipe(7)). */
const PIECE_BYTES = 4096;

/** Writes whole lines to `fd`, and none of them blocks longer than PATIENCE_MS. */
export function stderrSink(sys: Syscalls, fd = STDERR): LogSink {
  let lost = 0;
  const isWritable = (waitMs: number): boolean => {
    try {
      return (pollFds(sys, [{ fd, events: POLLOUT }], waitMs)[0] ?? 0) !== 0;
    } catch {
      // The arena may be what is exhausted, and this line the one that says so.
      return true;
    }
  };
  const put = (line: string): boolean => {
    const bytes = Buffer.from(line);
    for (let at = 0; at < bytes.length; ) {
      // The rest of a line that has begun is waited for: half a line spoils the next one.
      if (!isWritable(lost === 0 || at > 0 ? PATIENCE_MS : 0)) return false;
      at += writeSync(fd, bytes, at, Math.min(PIECE_BYTES, bytes.length - at));
    }
    return true;
  };
  const tryPut = (line: string): boolean => {
    try {
      return put(line);
    } catch {
      // Nobody is there any more (EPIPE), the disk is full, another writer was faster (EAGAIN).
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
  return `${JSON.stringify({ level: 'warn', time, lines, msg: 'lines of this log were lost: nobody read it' })}\n`;
}
