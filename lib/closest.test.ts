import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { closest } from './closest.ts';

const flags = ['iface', 'ip-masq', 'public-ip', 'public-ipv6', 'subnet-file', 'v'];

describe('closest', () => {
  test.for([
    { name: 'a letter missing', word: 'ifce', want: 'iface' },
    { name: 'a letter too many', word: 'ifacee', want: 'iface' },
    { name: 'a wrong letter', word: 'ip-mask', want: 'ip-masq' },
    { name: 'two letters swapped, one slip', word: 'ifcae', want: 'iface' },
    { name: 'another case', word: 'Subnet-File', want: 'subnet-file' },
    { name: 'the nearer of two', word: 'public-ipv', want: 'public-ip' },
    { name: 'nothing for another word', word: 'kubeconfig', want: undefined },
    { name: 'nothing for a word of the same length', word: 'zzzzz', want: undefined },
    { name: 'nothing for hostile length', word: 'i'.repeat(100_000), want: undefined },
  ])('$name: $word', ({ word, want }) => {
    expect(closest(word, flags)).toBe(want);
  });

  test('finds any word with one letter dropped', () => {
    fc.assert(
      fc.property(fc.constantFrom('public-ip', 'subnet-file', 'ip-masq'), fc.nat(), (word, n) => {
        const cut = n % word.length;
        expect(closest(word.slice(0, cut) + word.slice(cut + 1), flags)).toBe(word);
      }),
    );
  });
});
