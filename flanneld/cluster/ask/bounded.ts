// Asks many nodes, a limited number at once, and shows the progress.

import { errorText } from '../../../lib/errors.ts';
import { printable } from '../../../lib/printable.ts';

/** What a node answered, or why it did not. */
export type Answer<T> =
  | { readonly node: string; readonly value: T }
  | { readonly node: string; readonly problem: string };

export interface Asking<T, R> {
  readonly items: readonly T[];
  /** How many are asked at once. */
  readonly parallel: number;
  readonly nodeOf: (item: T) => string;
  readonly ask: (item: T) => Promise<R>;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

/** One answer for each item, in their order. Rejects only when `signal` is aborted. */
export async function askAll<T, R>({
  items,
  parallel,
  nodeOf,
  ask,
  progress,
  signal,
}: Asking<T, R>): Promise<Answer<R>[]> {
  const answers: Answer<R>[] = [];
  let [next, done, failed] = [0, 0, 0];
  const worker = async (): Promise<void> => {
    for (let at = next++; at < items.length && !signal.aborted; at = next++) {
      const item = items[at] as T;
      const node = nodeOf(item);
      try {
        answers[at] = { node, value: await ask(item) };
      } catch (error) {
        answers[at] = { node, problem: printable(errorText(error)) };
        failed += 1;
      }
      done += 1;
      progress.show(`${done} of ${items.length} nodes${failed === 0 ? '' : `, ${failed} without an answer`}`);
    }
  };
  await Promise.all(Array.from({ length: Math.min(parallel, items.length) }, worker));
  progress.end();
  signal.throwIfAborted();
  return answers;
}

export interface Progress {
  /** Shows the progress as one line. */
  show(text: string): void;
  /** Removes the line. */
  end(): void;
}

export interface ProgressOptions {
  readonly write: (text: string) => void;
  /** A terminal gets one line that changes; anything else gets a new line from time to time. */
  readonly isTerminal: boolean;
  readonly nowMs: () => number;
}

const TERMINAL_MS = 100;
const LINES_MS = 5000;

/** Shows nothing for work that takes less than the interval. */
export function makeProgress({ write, isTerminal, nowMs }: ProgressOptions): Progress {
  const interval = isTerminal ? TERMINAL_MS : LINES_MS;
  let last = nowMs();
  let isShown = false;
  return {
    show(text) {
      if (nowMs() - last < interval) return;
      last = nowMs();
      isShown = isTerminal;
      write(isTerminal ? `\r\x1b[K${text}` : `${text}\n`);
    },
    end() {
      if (isShown) write('\r\x1b[K');
      isShown = false;
    },
  };
}
