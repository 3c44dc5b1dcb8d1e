import { describe, expect, test } from 'vitest';
import { HeapKeeper } from './heap.ts';

/** A heap whose size the test sets, and time that passes when it says so. */
function makeHeap() {
  const heap = { bytes: 6e6, live: 6e6, collections: 0 };
  let timer: { readonly at: number; readonly run: () => void } | undefined;
  let nowMs = 0;
  const clock = {
    now: () => nowMs,
    after: (ms: number, run: () => void) => {
      const mine = { at: nowMs + ms, run };
      timer = mine;
      return () => {
        if (timer === mine) timer = undefined;
      };
    },
  };
  const compact = (): void => {
    heap.bytes = heap.live;
    heap.collections++;
  };
  const keeper = new HeapKeeper(clock, () => heap.bytes, compact);
  const pass = (ms: number): void => {
    nowMs += ms;
    const due = timer;
    if (due === undefined || due.at > nowMs) return;
    timer = undefined;
    due.run();
  };
  return { heap, keeper, pass };
}

describe('HeapKeeper', () => {
  test('collects garbage when the work has stopped, and not while it goes on', () => {
    const { heap, keeper, pass } = makeHeap();
    heap.bytes = 15e6;
    for (let run = 0; run < 10; run++) {
      keeper.worked();
      pass(900);
    }
    expect(heap.collections).toBe(0);
    pass(100);
    expect(heap).toMatchObject({ collections: 1, bytes: 6e6 });
  });

  test('waits longer with a large heap, which takes longer', () => {
    const { heap, keeper, pass } = makeHeap();
    heap.bytes = 90e6;
    keeper.worked();
    pass(9999);
    expect(heap.collections).toBe(0);
    pass(1);
    expect(heap.collections).toBe(1);
  });

  test('collects nothing after runs with unchanged leases', () => {
    const { heap, keeper, pass } = makeHeap();
    for (let run = 0; run < 5; run++) {
      keeper.worked();
      pass(1000);
      heap.bytes += 3e6;
    }
    expect(heap.collections).toBe(1);
  });

  test('collects again after many leases have changed, if much garbage was left', () => {
    const { heap, keeper, pass } = makeHeap();
    const afterLeases = (bytes: number): number => {
      keeper.leasesChanged(500);
      heap.bytes += bytes;
      keeper.worked();
      pass(1000);
      return heap.collections;
    };
    expect([0, 1e6, 1e6, 2e6].map(afterLeases)).toEqual([1, 1, 1, 2]);
  });

  test('waits while single leases change, until many of them have changed', () => {
    const { heap, keeper, pass } = makeHeap();
    const collections = Array.from({ length: 501 }, () => {
      keeper.worked();
      pass(1000);
      keeper.leasesChanged(1);
      heap.bytes += 1e4;
      return heap.collections;
    });
    expect([collections[1], collections[499], collections[500]]).toEqual([1, 1, 2]);
  });

  test('collects nothing after it was stopped', () => {
    const { heap, keeper, pass } = makeHeap();
    keeper.worked();
    keeper.stop();
    pass(5000);
    expect(heap.collections).toBe(0);
  });

  test('really makes the heap smaller', async () => {
    let run: () => void = () => undefined;
    const after = (_: number, timer: () => void) => {
      run = timer;
      return () => undefined;
    };
    const keeper = new HeapKeeper({ now: () => 0, after });
    const garbage = new WeakRef({});
    await new Promise((resolve) => setImmediate(resolve));
    keeper.worked();
    run();
    expect(garbage.deref()).toBeUndefined();
  });
});
