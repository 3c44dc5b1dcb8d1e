// Uses the kernel's own tracing (tracefs: Documentation/trace/ftrace.rst) without touching that of other programs: it has its own mount, in
// a mount namespace of its own, and its own trace instances. Nothing of either is left when the bench ends, however it ends.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseTrace, type Trace } from './lines.ts';

/** Which events an instance records. */
export interface TraceSpec {
  readonly name: string;
  /** The events, such as `sched/sched_process_exec`, each with a filter; an empty filter records all. */
  readonly events: Readonly<Record<string, string>>;
  /** More events, which are recorded only where the kernel has them. */
  readonly others?: readonly string[];
  /** Whether it records only the followed processes and their descendants. */
  readonly follows: boolean;
}

/**
 * A script that keeps the mount and the instances while its standard input is open. So it ends when the process at the other end
 * does, even by SIGKILL. $1 is the folder to mount on; the other arguments are the instances' names.
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
/** The size of the trace buffer for each processor. */
const BUFFER_KB = 4096;
const START_MS = 10_000;

/** Opens tracing, or returns one line that says why it is not possible. Needs root. `scratch` is a folder to mount on. */
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

  /** Chooses the events, without recording yet. Throws for an event that this kernel does not have. */
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

  /** Follows these processes and their future descendants. The pids are those of the machine's own pid namespace. */
  follow(pids: readonly number[]): void {
    for (const { folder, spec } of this.#instances) {
      if (spec.follows) writeFileSync(join(folder, 'set_event_pid'), `${pids.join(' ')}\n`);
    }
  }

  /** Discards what was recorded and begins to record. */
  start(): void {
    for (const { folder } of this.#instances) {
      writeFileSync(join(folder, 'trace'), '\n');
      writeFileSync(join(folder, 'tracing_on'), '1\n');
    }
    this.#enable('1');
  }

  /** Stops recording and returns the events of all instances since `start`, sorted by time. */
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
