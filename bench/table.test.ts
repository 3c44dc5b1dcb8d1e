import { expect, test } from 'vitest';
import { table } from './table.ts';

test('names are aligned left and numbers right, without trailing blanks', () => {
  const text = table(
    ['µs', 'p50', 'max'],
    [
      ['ADD', '2400', '9'],
      ['DEL weft', '1', '12000'],
    ],
  );
  expect(text.split('\n')).toEqual(['µs         p50    max', 'ADD       2400      9', 'DEL weft     1  12000']);
});
