// Waits until it is time to read again: after an event of a directory, after a period, or when the signal aborts.

import { watch } from 'node:fs';
import { basename } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** Wakes one waiter. If it rings while nobody waits, the next wait returns at once. */
export class Bell {
  #rung = false;
  #wake: (() => void) | undefined;

  readonly ring = (): void => {
    this.#rung = true;
    this.#wake?.();
  };

  /** Waits until the bell rings, the signal aborts, or `timeoutMs` have passed. */
  async wait(timeoutMs: number, signal: AbortSignal): Promise<void> {
    if (!this.#rung && !signal.aborted) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(this.ring, timeoutMs);
        signal.addEventListener('abort', this.ring);
        this.#wake = () => {
          clearTimeout(timer);
          signal.removeEventListener('abort', this.ring);
          resolve();
        };
      });
    }
    this.#wake = undefined;
    this.#rung = false;
  }
}

/**
 * Calls `onEvent` for every change in the directory, with the name of the changed file if it is known. Returns the function
 * that stops it; undefined when listening is not possible (no directory yet, or no inotify instance left).
 */
export function listen(dir: string, onEvent: (name: string | undefined) => void): (() => void) | undefined {
  try {
    // An event with the directory's own name says that it was removed or renamed; which files changed is then unknown.
    const itself = basename(dir);
    const watcher = watch(dir, { persistent: false }, (_, name) => {
      onEvent(name === null || name === itself ? undefined : name);
    });
    watcher.on('error', () => {
      watcher.close();
      onEvent(undefined);
    });
    return () => watcher.close();
  } catch {
    return undefined;
  }
}

/** Resolves early, not with an error, when the signal aborts. */
export async function sleepUnlessAborted(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  try {
    await sleep(ms, undefined, { signal });
  } catch {
    // aborted: the caller checks the signal
  }
}
