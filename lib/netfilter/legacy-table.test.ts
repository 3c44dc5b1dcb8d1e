import fc from 'fast-check';
import { expect, test } from 'vitest';
import { chainsAt, withoutCounters } from './legacy-table.ts';

test('reads nothing outside the block, whatever the offsets in it say', () => {
  // Entries with plausible lengths and targets test more than random bytes do.
  const entry = fc
    .tuple(fc.uint8Array({ minLength: 152, maxLength: 220 }), fc.nat(260), fc.nat(260))
    .map(([bytes, target, next]) => {
      new DataView(bytes.buffer).setUint16(88, target, true);
      new DataView(bytes.buffer).setUint16(90, next, true);
      return bytes;
    });
  const block = fc.array(entry).map((entries) => Uint8Array.from(entries.flatMap((bytes) => [...bytes])));
  fc.assert(
    fc.property(block, fc.constantFrom(4 as const, 6 as const), fc.array(fc.nat(600)), (bytes, family, hooks) => {
      const kept = withoutCounters(bytes, family, hooks, (chain) => chain.length % 2 === 1);
      expect(kept.length).toBeLessThanOrEqual(bytes.length * 2);
      const [first = 0, policy = 0] = hooks;
      const [chain] = chainsAt(bytes, family, [{ name: 'FORWARD', hook: 2, first, policy }]);
      expect(chain?.rules.length).toBeLessThanOrEqual(bytes.length / 112);
    }),
  );
});
