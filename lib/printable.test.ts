import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { printable, printableJson } from './printable.ts';

/** Listed one by one, not by the classes the code uses. */
function isUnsafe(code: number): boolean {
  return (
    code < 0x20 ||
    (code >= 0x7f && code <= 0x9f) ||
    (code >= 0xd800 && code <= 0xdfff) ||
    [0x061c, 0x200e, 0x200f, 0x2028, 0x2029].includes(code) ||
    (code >= 0x202a && code <= 0x202e) ||
    (code >= 0x2066 && code <= 0x2069)
  );
}

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

  test('leaves nothing unsafe, whatever comes, and what was safe as it was', () => {
    fc.assert(
      fc.property(hostile, (text) => {
        const shown = printable(text);
        return !codes(shown).some(isUnsafe) && (codes(text).some(isUnsafe) || shown === text);
      }),
    );
  });
});

test('printableJson leaves nothing unsafe but its own layout, and means the same', () => {
  fc.assert(
    fc.property(fc.dictionary(hostile, hostile), (value) => {
      const json = printableJson(`${JSON.stringify(value, null, 2)}\n`);
      expect(codes(json).filter((code) => isUnsafe(code) && code !== 0x0a)).toEqual([]);
      expect(JSON.parse(json)).toEqual(JSON.parse(JSON.stringify(value)));
    }),
  );
});
