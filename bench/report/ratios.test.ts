import { expect, test } from 'vitest';
import { ratioTable } from './ratios.ts';

const ratio = (low: number, value: number, high: number, most?: number) => ({
  name: 'ADD',
  of: 'a',
  against: 'b',
  low,
  value,
  high,
  ...(most === undefined ? {} : { most }),
});
const numbers = (html: string): number[] => [...html.matchAll(/<text[^>]*>([^<]*)/g)].map(([, text]) => Number(text));
const places = (html: string): number[] => [...html.matchAll(/<text x="([^"]*)"/g)].map(([, x]) => Number(x));

test.for([
  { name: 'a wide one has decades', low: 0.004, high: 14, want: [0.01, 0.1, 1, 10] },
  { name: 'a narrow one has steps', low: 0.2, high: 4, want: [0.2, 0.5, 1, 2] },
  { name: 'one around 1 has 1', low: 0.98, high: 1.02, want: [1] },
])('the scale: $name', ({ low, high, want }) => {
  const html = ratioTable([ratio(low, 1, high)]);
  expect(numbers(html).sort((a, b) => a - b)).toEqual(expect.arrayContaining(want));
  const at = places(html).sort((a, b) => a - b);
  at.slice(1).forEach((place, index) => {
    expect(place - (at[index] ?? 0)).toBeGreaterThan(30);
  });
});

test('the word “limit” appears only where there is one', () => {
  expect(ratioTable([ratio(0.1, 0.2, 0.3)])).not.toContain('limit');
  expect(ratioTable([ratio(0.1, 0.2, 0.3, 0.25)])).toContain('>limit<');
});

test('a ratio without an interval is a point', () => {
  const html = ratioTable([ratio(Number.NaN, 0.5, Number.NaN)]);
  expect(html).toContain('<circle');
  expect(html).not.toContain('class="interval"');
});

test('without ratios nothing is drawn', () => {
  expect(ratioTable([])).toBe('');
});
