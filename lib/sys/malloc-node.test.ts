import { readFileSync } from 'node:fs';
import koffi from 'koffi';
import { expect, test } from 'vitest';
import { trimFreeMemory } from './malloc-node.ts';

const BLOCK = 16_384;
const BLOCKS = 4000;

const anonymousBytes = (): number =>
  1024 * Number(/^RssAnon:\s*(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]);

test('returns free memory between blocks in use, which glibc would keep', () => {
  const libc = koffi.load('libc.so.6');
  const malloc = libc.func('void *malloc(size_t size)');
  const memset = libc.func('void *memset(void *at, int value, size_t size)');
  const free = libc.func('void free(void *at)');
  const blocks = Array.from({ length: BLOCKS }, () => malloc(BLOCK));
  for (const block of blocks) memset(block, 1, BLOCK);
  const used = blocks.filter((_, at) => at % 8 === 0);
  const full = anonymousBytes();
  for (const block of blocks) if (!used.includes(block)) free(block);
  const kept = anonymousBytes();
  trimFreeMemory();
  const left = anonymousBytes();
  for (const block of used) free(block);
  expect(full - kept).toBeLessThan((BLOCKS * BLOCK) / 4);
  expect(kept - left).toBeGreaterThan((BLOCKS * BLOCK) / 2);
});
