// Makes many plugin calls, a fixed number at once: a forked worker takes the next call from a pipe whenever it is free, much as
// a node works when a deployment starts. Imports only what runs on QuickJS.

import { monotonicMs, sleepMs } from '../../lib/sys/clock.ts';
import { closeFd } from '../../lib/sys/file.ts';
import { check, uninterrupted } from '../../lib/sys/sys-error.ts';
import type { Syscalls } from '../../lib/sys/syscalls.ts';
import { callPlugin } from './launch.ts';
import { type BurstStep, dueMs, type StepResult, type Variant } from './plan.ts';

const O_CLOEXEC = 0o2000000;
/** The size of a worker's record of one call: f64 µs, f64 end in ms, u32 length of the failure text, the text. One write. */
const RECORD_BYTES = 512;
const TEXT_AT = 20;
/** Time allowed for forking one worker, so that all workers exist before the first call is due. */
const FORK_MS = 1;

interface Pipe {
  readonly read: number;
  readonly write: number;
}

/** Runs the calls of a step. A call's index travels as one byte, so there are at most 256. */
export function runBurst(sys: Syscalls, scratch: string, variant: Variant, step: BurstStep): StepResult {
  const jobs = openPipe(sys);
  const records = openPipe(sys);
  const pids: number[] = [];
  const firstMs = monotonicMs(sys) + step.workers * FORK_MS;
  for (let worker = 0; worker < step.workers; worker++) {
    const pid = check(sys.fork(), 'fork', 'worker');
    if (pid === 0) work(sys, { jobs, records }, (index) => callOne(sys, scratch, variant, step, { index, firstMs }));
    pids.push(pid);
  }
  closeFd(sys, jobs.read);
  closeFd(sys, records.write);
  const start = step.everyMs === undefined ? monotonicMs(sys) : firstMs;
  sys.arena.scope(() => {
    const indexes = sys.arena.copy(Uint8Array.from(step.attachments, (_, index) => index));
    check(sys.call(sys.nr.write, jobs.write, indexes.address, indexes.length), 'write', 'pipe');
  });
  closeFd(sys, jobs.write);
  const result = readRecords(sys, records.read, start);
  closeFd(sys, records.read);
  for (const pid of pids) sys.call(sys.nr.wait4, pid, 0, 0, 0);
  const missing = step.attachments.length - result.each.length;
  return missing === 0 ? result : { ...result, failures: [...result.failures, `${missing} calls were never made`] };
}

function callOne(
  sys: Syscalls,
  scratch: string,
  variant: Variant,
  { attachments, command, everyMs }: BurstStep,
  { index, firstMs }: { readonly index: number; readonly firstMs: number },
): { us: number; failure: string | undefined } {
  const attachment = attachments[index];
  if (attachment === undefined) throw new Error(`no call ${index}`);
  if (everyMs === undefined) return callPlugin(sys, scratch, variant, command, attachment);
  const due = dueMs(firstMs, everyMs, index);
  const earlyMs = due - monotonicMs(sys);
  if (earlyMs > 0) sleepMs(sys, earlyMs);
  const { failure } = callPlugin(sys, scratch, variant, command, attachment);
  return { us: (monotonicMs(sys) - due) * 1000, failure };
}

/** What a worker does, from its start to its end. Never returns. */
function work(
  sys: Syscalls,
  { jobs, records }: { jobs: Pipe; records: Pipe },
  call: (index: number) => { us: number; failure: string | undefined },
): never {
  try {
    closeFd(sys, jobs.write);
    closeFd(sys, records.read);
    sys.arena.scope(() => {
      const job = sys.arena.buffer(1);
      const record = sys.arena.buffer(RECORD_BYTES);
      while (uninterrupted(sys, sys.nr.read, jobs.read, job.address, 1) === 1) {
        const { us, failure = '' } = call(job.u8(0));
        const text = sys.arena.encode(failure).subarray(0, RECORD_BYTES - TEXT_AT);
        record.view.setFloat64(0, us, true);
        record.view.setFloat64(8, monotonicMs(sys), true);
        record.setU32(16, text.length);
        record.set(text, TEXT_AT);
        sys.call(sys.nr.write, records.write, record.address, RECORD_BYTES);
      }
    });
  } finally {
    for (;;) sys.call(sys.nr.exit_group, 0);
  }
}

function readRecords(sys: Syscalls, fd: number, start: number): StepResult & { each: number[] } {
  return sys.arena.scope(() => {
    const record = sys.arena.buffer(RECORD_BYTES);
    const each: number[] = [];
    const failures: string[] = [];
    let end = start;
    while (uninterrupted(sys, sys.nr.read, fd, record.address, RECORD_BYTES) === RECORD_BYTES) {
      each.push(record.view.getFloat64(0, true));
      end = Math.max(end, record.view.getFloat64(8, true));
      const length = record.u32(16);
      if (length > 0) failures.push(record.text(TEXT_AT, length));
    }
    return { us: (end - start) * 1000, each, failures };
  });
}

function openPipe(sys: Syscalls): Pipe {
  return sys.arena.scope(() => {
    const ends = sys.arena.alloc(8);
    check(sys.call(sys.nr.pipe2, ends.address, O_CLOEXEC), 'open', 'pipe');
    return { read: ends.i32(0), write: ends.i32(4) };
  });
}
