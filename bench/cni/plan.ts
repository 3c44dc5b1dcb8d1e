// The plan that the driver reads from stdin and the result it writes to stdout, both as JSON. Plain data and pure functions: the
// driver (on QuickJS) and the bench (on Node) share this file.

export type Command = 'ADD' | 'DEL';

/** One plugin, called as a runtime would call it, in a node of its own. */
export interface Variant {
  readonly name: string;
  /** Index of the node, a network namespace, it works in. */
  readonly node: number;
  readonly path: string;
  readonly argv: readonly string[];
  readonly cniPath: string;
  /** The network configuration it gets on stdin. */
  readonly config: string;
}

export interface Attachment {
  readonly containerId: string;
  /** Index of the pod's network namespace. */
  readonly pod: number;
}

interface StepBase {
  /** Index in the plan's variants. */
  readonly variant: number;
  /** Milliseconds to wait before the step, because the kernel needs a while to free a deleted link. */
  readonly pauseMs: number;
}

/** One call, timed. */
export interface CallStep extends StepBase {
  readonly kind: 'call';
  readonly command: Command;
  readonly attachment: Attachment;
}

/** Many calls, which a number of parallel workers take one by one. The whole burst is timed. */
export interface BurstStep extends StepBase {
  readonly kind: 'burst';
  readonly command: Command;
  readonly attachments: readonly Attachment[];
  readonly workers: number;
  /**
   * Milliseconds between the times at which calls are due, whether or not earlier calls have ended. When absent, a call is
   * due as soon as a worker is free. A bench that waits for a slow call before it makes the next one hides how long the next
   * one would have waited. So each call's time counts from the moment it was due.
   */
  readonly everyMs?: number | undefined;
}

/** When a call of a burst is due, the first one at `firstMs`. */
export function dueMs(firstMs: number, everyMs: number, index: number): number {
  return firstMs + index * everyMs;
}

/** A step that describes in words what an ADD left in the kernel. */
export interface InspectStep extends StepBase {
  readonly kind: 'inspect';
  readonly attachment: Attachment;
}

export type Step = CallStep | BurstStep | InspectStep;

export interface Plan {
  /** A temporary folder: its `lib` is mounted on /var/lib, its `netns` gets the pods' namespaces. */
  readonly scratch: string;
  readonly nodes: number;
  readonly pods: number;
  readonly variants: readonly Variant[];
  readonly steps: readonly Step[];
}

export interface StepResult {
  /** Microseconds from before the first pipe until after wait4; for a burst, until its last call ended; for an inspection, 0. */
  readonly us: number;
  /** For a burst, the microseconds of each call. With `everyMs`, they count from when the call was due. */
  readonly each?: readonly number[];
  /** Why calls failed, one line for each; empty when all succeeded. */
  readonly failures: readonly string[];
  /** What an inspection found. */
  readonly found?: readonly string[];
}

export interface PlanResult {
  /** One for each step, in order. */
  readonly results: readonly StepResult[];
  /** Links other than lo and bridges that are left in each node. */
  readonly leftovers: readonly (readonly string[])[];
}

/** Where the namespace of a pod is mounted. */
export function netnsPath(scratch: string, pod: number): string {
  return `${scratch}/netns/pod${pod}`;
}

/** `items` in an order that begins with another one each round, so that no item always comes first. */
export function rotated<T>(items: readonly T[], round: number): T[] {
  const from = items.length === 0 ? 0 : round % items.length;
  return [...items.slice(from), ...items.slice(0, from)];
}

/** A container id as runtimes make them, 64 hexadecimal digits; equal numbers give equal ids. */
export function containerId(number: number): string {
  let state = (number + 1) >>> 0;
  let digits = '';
  while (digits.length < 64) {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) >>> 0;
    digits += state.toString(16).padStart(8, '0');
  }
  return digits;
}

/** Every variant does ADD and DEL once in each round, on a pod of its own. Each round has another order. */
export function pairSteps(variants: number, rounds: number, pauseMs: number): CallStep[] {
  const order = Array.from({ length: variants }, (_, variant) => variant);
  const steps: CallStep[] = [];
  for (let round = 0; round < rounds; round++) {
    for (const variant of rotated(order, round)) {
      const attachment = { containerId: containerId(round * variants + variant), pod: variant };
      for (const command of ['ADD', 'DEL'] as const) {
        steps.push({ kind: 'call', variant, command, attachment, pauseMs });
      }
    }
  }
  return steps;
}

export interface BurstShape {
  readonly pods: number;
  readonly workers: number;
  readonly pauseMs: number;
  /** Milliseconds between calls that are due, for the ADDs and then for the DELs. When absent, a call is due once a worker is free. */
  readonly everyMs?: number | undefined;
}

/** Every variant attaches and detaches `pods` pods once in each round, `workers` of them at once. */
export function burstSteps(
  variants: number,
  rounds: number,
  { pods, workers, pauseMs, everyMs }: BurstShape,
): BurstStep[] {
  const order = Array.from({ length: variants }, (_, variant) => variant);
  const steps: BurstStep[] = [];
  for (let round = 0; round < rounds; round++) {
    for (const variant of rotated(order, round)) {
      const first = (round * variants + variant) * pods;
      const attachments = Array.from({ length: pods }, (_, pod) => ({ containerId: containerId(first + pod), pod }));
      steps.push({ kind: 'burst', variant, command: 'ADD', attachments, workers, pauseMs, everyMs });
      steps.push({ kind: 'burst', variant, command: 'DEL', attachments, workers, pauseMs, everyMs });
    }
  }
  return steps;
}
