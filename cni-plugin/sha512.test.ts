import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { sha512Hex } from './sha512.ts';

test('agrees with the engine’s own for every text', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
      expect(sha512Hex(bytes)).toBe(createHash('sha512').update(bytes).digest('hex'));
    }),
    { numRuns: 40 },
  );
});

test.for([0, 111, 112, 127, 128, 129])('pads %i bytes', (length) => {
  const bytes = new Uint8Array(length).fill(97);
  expect(sha512Hex(bytes)).toBe(createHash('sha512').update(bytes).digest('hex'));
});
