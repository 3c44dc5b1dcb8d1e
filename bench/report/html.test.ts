import { expect, test } from 'vitest';
import { htmlTable } from './html.ts';

test('a column with one word in it is aligned as words; numbers with units are no words', () => {
  const html = htmlTable(
    '',
    ['call', 'ms', 'dearest'],
    [
      ['exit', '3 ms', ''],
      ['open', '–', 'sendto <4>'],
    ],
  );
  expect(html).toContain('<th scope="col">ms</th><th scope="col" class="words">dearest</th>');
  expect(html).toContain('<tr><th scope="row">exit</th><td>3 ms</td><td class="words"></td></tr>');
  expect(html).toContain('<td>–</td><td class="words">sendto &lt;4&gt;</td>');
});
