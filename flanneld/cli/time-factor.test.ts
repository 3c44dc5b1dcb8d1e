import { afterEach, expect, test } from 'vitest';
import { setTimeFactor, stretched } from './time-factor.ts';

afterEach(() => setTimeFactor(undefined));

test.for([
  { name: 'not set', text: undefined, want: 10 },
  { name: 'a number', text: '12', want: 120 },
  { name: 'a fraction', text: '1.25', want: 13 },
  { name: 'empty', text: '', want: 10 },
  { name: 'not a number', text: 'slow', want: 10 },
  { name: 'less than 1', text: '0.1', want: 10 },
  { name: 'absurd', text: '1e9', want: 10 },
])('the factor is $name', ({ text, want }) => {
  setTimeFactor(text);
  expect(stretched(10)).toBe(want);
});
