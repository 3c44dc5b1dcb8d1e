import { expect, test } from 'vitest';
import { exitCodeOf } from './exec-in-pod.ts';

test.for([
  { name: 'success', text: '{"metadata":{},"status":"Success"}', want: 0 },
  {
    name: 'an exit code',
    text: '{"status":"Failure","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"3"}]}}',
    want: 3,
  },
  {
    name: 'a program that is not there',
    text: '{"status":"Failure","message":"exec: \\"x\\": not found","reason":"InternalError","code":500}',
    want: 'exec: "x": not found',
  },
  { name: 'a text that is no JSON', text: 'container not running', want: 'container not running' },
])('the status of $name', ({ text, want }) => {
  expect(exitCodeOf(text)).toBe(want);
});
