import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isUnsafe, unsafeIn } from '../test/support/unsafe-characters.ts';
import { printable, printableJson } from './printable.ts';

const unsafe = fc
  .oneof(
    fc.integer({ min: 0, max: 0xff }),
    fc.integer({ min: 0x600, max: 0x61f }),
    fc.integer({ min: 0x2000, max: 0x206f }),
  )
  .filter(isUnsafe)
  .map((code) => String.fromCodePoint(code));
const hostile = fc.array(fc.oneof(fc.string({ unit: 'binary' }), unsafe)).map((parts) => parts.join(''));

const codes = (text: string): number[] => [...text].map((character) => character.codePointAt(0) ?? 0);

describe('printable', () => {
  test.for([
    { name: 'ESC', text: 'a\u001b[2Jb', want: 'a\\x1b[2Jb' },
    { name: 'a line end', text: 'a\r\nb', want: 'a\\x0d\\x0ab' },
    { name: 'a C1 control', text: '\u009b31m', want: '\\x9b31m' },
    { name: 'another direction', text: '\u202eabc\u2066', want: '\\u202eabc\\u2066' },
    { name: 'a lone surrogate', text: '\ud800', want: '\\ud800' },
    { name: 'other languages and signs stay', text: 'Zürich 東京 🐢 عربي', want: 'Zürich 東京 🐢 عربي' },
  ])('$name', ({ text, want }) => {
    expect(printable(text)).toBe(want);
  });

  test('leaves no unsafe character, and does not change safe text', () => {
    fc.assert(
      fc.property(hostile, (text) => {
        const shown = printable(text);
        return !codes(shown).some(isUnsafe) && (codes(text).some(isUnsafe) || shown === text);
      }),
    );
  });
});

test('printableJson leaves no unsafe character except its own line breaks, and keeps the meaning', () => {
  fc.assert(
    fc.property(fc.dictionary(hostile, hostile), (value) => {
      const json = printableJson(`${JSON.stringify(value, null, 2)}\n`);
      expect(unsafeIn(json)).toEqual([]);
      expect(JSON.parse(json)).toEqual(JSON.parse(JSON.stringify(value)));
    }),
  );
});
