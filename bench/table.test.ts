import { expect, test } from 'vitest';
import { table } from './table.ts';

test('names go to the left, numbers to the right, nothing trails', () => {
  const text = table(
    ['µs', 'p50', 'max'],
    [
      ['ADD', '2400', '9'],
      ['DEL weft', '1', '12000'],
    ],
  );
  expect(text.split('\n')).toEqual(['µs         p50    max', 'ADD       2400      9', 'DEL weft     1  12000']);
});
