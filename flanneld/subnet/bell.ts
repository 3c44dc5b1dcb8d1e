// Waiting for "look again": events of a directory, a period, or the end.

import { watch } from 'node:fs';
import { basename } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** Wakes one waiter; rung while nobody waits, the next wait returns at once. */
export class Bell {
  #rung = false;
  #wake: (() => void) | undefined;

  readonly ring = (): void => {
    this.#rung = true;
    this.#wake?.();
  };

  /** Until rung, aborted, or `timeoutMs` have passed. */
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
 * Calls `onEvent` for every change in the directory with the name of what changed, if it is known; returns how to stop.
 * Undefined when it cannot listen: no directory yet, or no inotify instance left.
 */
export function listen(dir: string, onEvent: (name: string | undefined) => void): (() => void) | undefined {
  try {
    // Its own name: it was removed or renamed, and another may have its place.
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
    // aborted: the caller looks at the signal
  }
}
