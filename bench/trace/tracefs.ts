// The kernel's own tracing (tracefs: Documentation/trace/ftrace.rst), as somebody who was only asked to measure may use
// it: a mount in a mount namespace of its own, instances of its own, and nothing of either when the bench ends, however
// that is.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseTrace, type Trace } from './lines.ts';

/** Which events an instance records. */
export interface TraceSpec {
  readonly name: string;
  /** `sched/sched_process_exec`; with a filter or '' for every one. */
  readonly events: Readonly<Record<string, string>>;
  /** Events that are recorded where the kernel has them. */
  readonly others?: readonly string[];
  /** Only what the followed process and all that come of it do. */
  readonly follows: boolean;
}

/**
 * Keeps the mount and the instances while its standard input is open: it ends with whoever holds the other end, by
 * SIGKILL too. $1 is the folder to mount on, the rest are the instances' names.
 */
const KEEPER = `
trap '' INT TERM HUP
folder=$1; shift
mount -t tracefs none "$folder" || exit 1
cd "$folder/instances" || exit 1
for name; do mkdir "$name" || exit 1; done
echo ready
read -r _
for name; do echo 0 > "$name/tracing_on"; echo > "$name/set_event"; rmdir "$name"; done
`;
/** Of each processor. */
const BUFFER_KB = 4096;
const START_MS = 10_000;

/** Tracing, or why there is none here: one line. Needs root. `scratch` is a folder to mount on. */
export async function openTracing(scratch: string, specs: readonly TraceSpec[]): Promise<Tracing | string> {
  const names = specs.map(({ name }) => `weft-bench-${process.pid}-${name}`);
  const inside = ['--mount', '--propagation', 'private', '--', 'sh', '-c', KEEPER, 'sh', scratch, ...names];
  const keeper = spawn('unshare', inside, { stdio: 'pipe' });
  let said = '';
  keeper.stderr?.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  const ready = await Promise.race([
    once(keeper.stdout ?? keeper, 'data').then(() => true),
    once(keeper, 'close').then(() => false),
    once(keeper, 'error').then(() => false),
    new Promise<boolean>((resolve) => setTimeout(() => resolve(false), START_MS).unref()),
  ]);
  if (!ready) {
    keeper.stdin?.destroy();
    return `no tracing: ${said.trim().split('\n').at(-1) ?? 'tracefs cannot be mounted'}`;
  }
  const tracing = new Tracing(keeper, `/proc/${keeper.pid}/root${scratch}/instances`, names, specs);
  try {
    tracing.setUp();
    return tracing;
  } catch (error) {
    await tracing.close();
    return `no tracing: ${error instanceof Error ? error.message : String(error)}`;
  }
}

export class Tracing {
  readonly #keeper: ChildProcess;
  #enabled = false;
  readonly #instances: readonly { readonly folder: string; readonly spec: TraceSpec }[];

  constructor(keeper: ChildProcess, folder: string, names: readonly string[], specs: readonly TraceSpec[]) {
    this.#keeper = keeper;
    this.#instances = specs.map((spec, index) => ({ folder: join(folder, names[index] ?? ''), spec }));
  }

  /** Chooses the events; nothing is recorded yet. Throws for an event this kernel has not. */
  setUp(): void {
    for (const { folder, spec } of this.#instances) {
      const write = (file: string, text: string): void => writeFileSync(join(folder, file), `${text}\n`);
      write('tracing_on', '0');
      write('trace_clock', 'mono');
      write('buffer_size_kb', `${BUFFER_KB}`);
      if (spec.follows) write('options/event-fork', '1');
      for (const [event, filter] of Object.entries(spec.events)) {
        if (!existsSync(join(folder, `events/${event}`))) throw new Error(`this kernel has no event ${event}`);
        if (filter !== '') write(`events/${event}/filter`, filter);
      }
    }
  }

  /** Processes that are watched, with all that come of them from now on; by this machine's numbers, which the kernel goes by. */
  follow(pids: readonly number[]): void {
    for (const { folder, spec } of this.#instances) {
      if (spec.follows) writeFileSync(join(folder, 'set_event_pid'), `${pids.join(' ')}\n`);
    }
  }

  /** Forgets what was recorded and records from now on. */
  start(): void {
    for (const { folder } of this.#instances) {
      writeFileSync(join(folder, 'trace'), '\n');
      writeFileSync(join(folder, 'tracing_on'), '1\n');
    }
    this.#enable('1');
  }

  /** Everything of all instances since `start`, by time. From now on the events cost nothing. */
  stop(): Trace {
    if (!this.#enabled) return { lines: [], lost: 0 };
    this.#enable('0');
    for (const { folder } of this.#instances) writeFileSync(join(folder, 'tracing_on'), '0\n');
    return parseTrace(this.#instances.map(({ folder }) => readFileSync(join(folder, 'trace'), 'utf8')).join('\n'));
  }

  #enable(value: '0' | '1'): void {
    for (const { folder, spec } of this.#instances) {
      const others = (spec.others ?? []).filter((event) => existsSync(join(folder, `events/${event}`)));
      for (const event of [...Object.keys(spec.events), ...others]) {
        writeFileSync(join(folder, `events/${event}/enable`), `${value}\n`);
      }
    }
    this.#enabled = value === '1';
  }

  /** Resolves when the instances are gone. */
  async close(): Promise<void> {
    const closed = once(this.#keeper, 'close');
    this.#keeper.stdin?.end();
    await closed;
  }
}
