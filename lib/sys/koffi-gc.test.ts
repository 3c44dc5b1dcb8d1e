// Acceptance: addresses given to the kernel stay good through garbage collection.

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
import type { Slot } from './arena.ts';
import { openKoffiSyscalls } from './koffi.ts';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;
const sys = openKoffiSyscalls();

/** Fills the young generation, so that what survives is moved, then collects everything. */
function churn(): void {
  let garbage: unknown[] = [];
  for (let round = 0; round < 20; round += 1) {
    garbage = Array.from({ length: 10_000 }, (_, index) => new Uint8Array((index % 60) + 1));
  }
  expect(garbage).toHaveLength(10_000);
  collectGarbage();
}

function pipeEnds(): { read: number; write: number } {
  return sys.arena.scope(() => {
    const ends = sys.arena.alloc(8);
    expect(sys.call(sys.nr.pipe2, ends.address, 0o2000000)).toBe(0);
    return { read: ends.i32(0), write: ends.i32(4) };
  });
}

// The collections take seconds on a busy machine.
test('the kernel reads and writes the right memory when garbage is collected in between', { timeout: 60_000 }, () => {
  const { read, write } = pipeEnds();
  sys.arena.scope(() => {
    const sources: Slot[] = [];
    const targets: Slot[] = [];
    for (let index = 0; index < 200; index += 1) {
      sources.push(sys.arena.cstring(`message ${index}`));
      targets.push(sys.arena.alloc(16));
    }
    const addresses = sources.map((slot) => slot.address);
    const targetAddresses = targets.map((slot) => slot.address);
    for (let index = 0; index < 200; index += 1) {
      if (index % 20 === 0) churn();
      const length = sources[index]?.length ?? 0;
      expect(sys.call(sys.nr.write, write, addresses[index], length)).toBe(length);
      if (index % 20 === 10) churn();
      expect(sys.call(sys.nr.read, read, targetAddresses[index], length)).toBe(length);
    }
    churn();
    const texts = targets.map((slot, index) => slot.text(0, (sources[index]?.length ?? 1) - 1));
    expect(texts).toEqual(Array.from({ length: 200 }, (_, index) => `message ${index}`));
  });
  sys.call(sys.nr.close, read);
  sys.call(sys.nr.close, write);
});

test('control: collections do happen, so memory outside the arena is freed while its address is in use', async () => {
  const refs = Array.from({ length: 50 }, () => new WeakRef(new Uint8Array(4096)));
  // A WeakRef holds its target until the current job ends.
  await new Promise((resolve) => setImmediate(resolve));
  churn();
  expect(refs.filter((ref) => ref.deref() !== undefined)).toEqual([]);
});
