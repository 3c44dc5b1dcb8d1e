import { expect, test } from 'vitest';
import { watchdogMs } from './watchdog.ts';

test.for([
  { name: 'not asked for', env: {}, want: undefined },
  { name: 'in microseconds', env: { WATCHDOG_USEC: '60000000' }, want: 60_000 },
  { name: 'of this process', env: { WATCHDOG_USEC: '60000000', WATCHDOG_PID: '7' }, want: 60_000 },
  {
    name: 'of its parent, whose environment it has',
    env: { WATCHDOG_USEC: '60000000', WATCHDOG_PID: '8' },
    want: undefined,
  },
  { name: 'zero', env: { WATCHDOG_USEC: '0' }, want: undefined },
  { name: 'no number', env: { WATCHDOG_USEC: '1e9' }, want: undefined },
])('the time between two signs of life that systemd expects: $name', ({ env, want }) => {
  expect(watchdogMs(env, 7)).toBe(want);
});
