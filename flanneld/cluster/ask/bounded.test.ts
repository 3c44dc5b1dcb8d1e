import { describe, expect, test } from 'vitest';
import { askAll, makeProgress } from './bounded.ts';

const silent = { show: () => undefined, end: () => undefined };
const { signal } = new AbortController();

describe('askAll', () => {
  test('asks as many nodes at the same time as allowed, and not more', async () => {
    let [running, most] = [0, 0];
    const ask = async (item: number): Promise<number> => {
      running += 1;
      most = Math.max(most, running);
      await new Promise((resolve) => setImmediate(resolve));
      running -= 1;
      return item * 2;
    };
    const items = Array.from({ length: 100 }, (_, at) => at);
    const answers = await askAll({ items, parallel: 8, nodeOf: String, ask, progress: silent, signal });
    expect(most).toBe(8);
    expect(answers).toEqual(items.map((item) => ({ node: `${item}`, value: item * 2 })));
  });

  test('names each node that does not answer in one printable line', async () => {
    const ask = (item: string): Promise<string> =>
      item === 'b' ? Promise.reject(new Error('gone\x1b[31m')) : Promise.resolve(item);
    const shown: string[] = [];
    const progress = { show: (text: string) => shown.push(text), end: () => undefined };
    const asking = { items: ['a', 'b', 'c'], parallel: 1, nodeOf: (item: string) => item, ask, progress, signal };
    expect(await askAll(asking)).toEqual([
      { node: 'a', value: 'a' },
      { node: 'b', problem: 'gone\\x1b[31m' },
      { node: 'c', value: 'c' },
    ]);
    expect(shown).toEqual(['1 of 3 nodes', '2 of 3 nodes, 1 without an answer', '3 of 3 nodes, 1 without an answer']);
  });

  test('stops asking when it is interrupted', async () => {
    const stop = new AbortController();
    const asked: number[] = [];
    const ask = (item: number): Promise<void> => {
      asked.push(item);
      if (item === 2) stop.abort();
      return Promise.resolve();
    };
    const asking = { items: [1, 2, 3, 4], parallel: 1, nodeOf: String, ask, progress: silent, signal: stop.signal };
    await expect(askAll(asking)).rejects.toThrow();
    expect(asked).toEqual([1, 2]);
  });
});

describe('progress', () => {
  const run = (isTerminal: boolean, times: readonly number[]): string[] => {
    const written: string[] = [];
    let now = 0;
    const progress = makeProgress({ write: (text) => written.push(text), isTerminal, nowMs: () => now });
    for (const time of times) {
      now = time;
      progress.show(`at ${time}`);
    }
    progress.end();
    return written;
  };

  test('is one changing line on a terminal, which is removed at the end', () => {
    expect(run(true, [50, 150, 200, 260])).toEqual(['\r\x1b[Kat 150', '\r\x1b[Kat 260', '\r\x1b[K']);
  });

  test('is a line now and then in a file', () => {
    expect(run(false, [1000, 5000, 6000, 10_500])).toEqual(['at 5000\n', 'at 10500\n']);
  });

  test('is not shown for short work', () => {
    expect(run(true, [50])).toEqual([]);
  });
});
