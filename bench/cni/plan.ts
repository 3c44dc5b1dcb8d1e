// What the driver is told to do and what it answers: JSON on its stdin and stdout. Plain data and pure functions;
// the driver (QuickJS) and the question (Node) share this file.

export type Command = 'ADD' | 'DEL';

/** One plugin as a runtime would call it, in a node of its own. */
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
  /** Milliseconds of rest before the step: the kernel goes on freeing a deleted link for a while. */
  readonly pauseMs: number;
}

/** One call, timed. */
export interface CallStep extends StepBase {
  readonly kind: 'call';
  readonly command: Command;
  readonly attachment: Attachment;
}

/** Many calls, as many workers at once taking them one by one, timed as a whole. */
export interface BurstStep extends StepBase {
  readonly kind: 'burst';
  readonly command: Command;
  readonly attachments: readonly Attachment[];
  readonly workers: number;
  /**
   * Milliseconds from one call's due time to the next one's, whatever became of those before; absent: the next one is
   * due when a worker is free. Whoever waits for a slow call before it makes the next one does not see what the next
   * one would have waited; so each call's time counts from when it was due.
   */
  readonly everyMs?: number | undefined;
}

/** When a call of a burst is due, the first one at `firstMs`. */
export function dueMs(firstMs: number, everyMs: number, index: number): number {
  return firstMs + index * everyMs;
}

/** What an ADD left in the kernel, in words. */
export interface InspectStep extends StepBase {
  readonly kind: 'inspect';
  readonly attachment: Attachment;
}

export type Step = CallStep | BurstStep | InspectStep;

export interface Plan {
  /** A folder of our own: `lib` becomes /var/lib, `netns` gets the pods' namespaces. */
  readonly scratch: string;
  readonly nodes: number;
  readonly pods: number;
  readonly variants: readonly Variant[];
  readonly steps: readonly Step[];
}

export interface StepResult {
  /** Microseconds from before the first pipe to after wait4; of a burst, until the last call ended; 0 of a look. */
  readonly us: number;
  /** Of a burst: each call's own, from when it was due if the step says when. */
  readonly each?: readonly number[];
  /** Why calls failed, a line each; none when all is well. */
  readonly failures: readonly string[];
  /** Of a look. */
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

/** `items` beginning with another one every round, so that none always follows the same neighbour. */
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

/** Every variant does ADD and DEL once a round, each round in another order; pods are the variants' own. */
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
  /** Of ADDs, and then of DELs; absent: each is due when a worker is free. */
  readonly everyMs?: number | undefined;
}

/** Every variant attaches and detaches `pods` pods once a round, `workers` at once. */
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
