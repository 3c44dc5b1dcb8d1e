import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { runTogether, watchAgain } from './watching.ts';

const retry = { firstMs: 1, capMs: 4, jitter: 0 };

/** Lasts until it is aborted. */
const lasting = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => signal.addEventListener('abort', () => resolve()));

describe('watchAgain', () => {
  test('starts again after a watch that ended or failed, until it is aborted', async () => {
    const abort = new AbortController();
    const failures: unknown[] = [];
    let watches = 0;
    const watch = (): Promise<void> => {
      watches += 1;
      if (watches === 6) abort.abort();
      return watches % 2 === 0 ? Promise.reject(new Error(`watch ${watches}`)) : Promise.resolve();
    };
    await watchAgain(
      { watch, onFailure: (error) => failures.push(String(error)), retry, random: () => 0 },
      abort.signal,
    );
    expect(failures).toEqual(['Error: watch 2', 'Error: watch 4']);
  });

  test('watches nothing once aborted', async () => {
    const watch = (): Promise<void> => Promise.reject(new Error('watched'));
    const onFailure = (error: unknown): never => {
      throw error;
    };
    await watchAgain({ watch, onFailure, retry, random: () => 0 }, AbortSignal.abort());
  });
});

describe('runTogether', () => {
  test('stops all when one fails, and ends only when all have ended', async () => {
    let ended = false;
    const slow = async (signal: AbortSignal): Promise<void> => {
      await lasting(signal);
      await sleep(20);
      ended = true;
    };
    const failing = (): Promise<void> => Promise.reject(new Error('lost'));
    await expect(runTogether([slow, failing], new AbortController().signal)).rejects.toThrow('lost');
    expect(ended).toBe(true);
  });

  test.for([
    { name: 'while it runs', before: false },
    { name: 'before it began', before: true },
  ])('ends well when aborted $name', async ({ before }) => {
    const abort = new AbortController();
    if (before) abort.abort();
    const running = runTogether([(signal) => (signal.aborted ? Promise.resolve() : lasting(signal))], abort.signal);
    abort.abort();
    await expect(running).resolves.toBeUndefined();
  });
});
