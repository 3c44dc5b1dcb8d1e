// Lines of a tracefs `trace` file: Documentation/trace/ftrace.rst, "Output format". With the clock `mono` their times
// are CLOCK_MONOTONIC, to the microsecond.

export interface TraceLine {
  /** Number of the thread. */
  readonly tid: number;
  readonly atNs: number;
  /** `sched_process_exec`; of a system call's entry `sys_enter`, of its return `sys_exit`. */
  readonly event: string;
  /** Of a system call: `openat`. */
  readonly call: string | undefined;
  /** What follows: the event's fields, a call's arguments, or what it returned as hexadecimal digits. */
  readonly text: string;
}

const LINE = /^\s*.+-(\d+)\s+\[\d+\]\s+\S+\s+(\d+)\.(\d{6}): (.*)$/;
const ENTRY = /^sys_(\w+)\((.*)\)$/;
const RETURN = /^sys_(\w+) -> 0x([0-9a-f]+)$/;
const EVENT = /^(\w+): (.*)$/;

/** Undefined for comments and for what is no event: `CPU:1 [LOST 12 EVENTS]`. */
export function parseTraceLine(line: string): TraceLine | undefined {
  const [, tid, seconds, micros, rest = ''] = LINE.exec(line) ?? [];
  if (tid === undefined) return undefined;
  const at = { tid: Number(tid), atNs: Number(seconds) * 1e9 + Number(micros) * 1e3 };
  const [, entered, args = ''] = ENTRY.exec(rest) ?? [];
  if (entered !== undefined) return { ...at, event: 'sys_enter', call: entered, text: args };
  const [, returned, value = ''] = RETURN.exec(rest) ?? [];
  if (returned !== undefined) return { ...at, event: 'sys_exit', call: returned, text: value };
  const [, event, text = ''] = EVENT.exec(rest) ?? [];
  return event === undefined ? undefined : { ...at, event, call: undefined, text };
}

export interface Trace {
  readonly lines: readonly TraceLine[];
  /** Events the kernel had no room for. */
  readonly lost: number;
}

export function parseTrace(text: string): Trace {
  const lines: TraceLine[] = [];
  let lost = 0;
  for (const line of text.split('\n')) {
    const parsed = parseTraceLine(line);
    if (parsed !== undefined) lines.push(parsed);
    else lost += Number(/\[LOST (\d+) EVENTS\]/.exec(line)?.[1] ?? 0);
  }
  return { lines: lines.sort((a, b) => a.atNs - b.atNs), lost };
}

/** Whether a call returned an error: −4095 to −1 in two's complement. */
export function hasFailed({ text }: TraceLine): boolean {
  return text.length >= 8 && text.startsWith('fffff');
}

/** The field of an event: `dev` of `dev=eth0 kind=noqueue`. */
export function fieldOf({ text }: TraceLine, name: string): string | undefined {
  return new RegExp(`(?:^| )${name}=(\\S+)`).exec(text)?.[1];
}
