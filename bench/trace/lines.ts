// Parses lines of a tracefs `trace` file (Documentation/trace/ftrace.rst, "Output format"). With the clock `mono`, their times are
// CLOCK_MONOTONIC with microsecond precision.

export interface TraceLine {
  /** The thread's number. */
  readonly tid: number;
  readonly atNs: number;
  /** The event, such as `sched_process_exec`; `sys_enter` for a system call's entry and `sys_exit` for its return. */
  readonly event: string;
  /** The system call's name, such as `openat`, if the event is about one. */
  readonly call: string | undefined;
  /** The rest of the line: the event's fields, a call's arguments, or its result in hexadecimal digits. */
  readonly text: string;
}

const LINE = /^\s*.+-(\d+)\s+\[\d+\]\s+\S+\s+(\d+)\.(\d{6}): (.*)$/;
const ENTRY = /^sys_(\w+)\((.*)\)$/;
const RETURN = /^sys_(\w+) -> 0x([0-9a-f]+)$/;
const EVENT = /^(\w+): (.*)$/;

/** Parses a line; undefined for comments and other lines that are not events, such as `CPU:1 [LOST 12 EVENTS]`. */
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
  /** How many events the kernel dropped because its buffer was full. */
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

/** Whether a call returned an error, a value from −4095 to −1 in two's complement. */
export function hasFailed({ text }: TraceLine): boolean {
  return text.length >= 8 && text.startsWith('fffff');
}

/** A field of an event. In `dev=eth0 kind=noqueue` the field `dev` is `eth0`. */
export function fieldOf({ text }: TraceLine, name: string): string | undefined {
  return new RegExp(`(?:^| )${name}=(\\S+)`).exec(text)?.[1];
}
