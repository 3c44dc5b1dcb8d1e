import { describe, expect, test } from 'vitest';
import { fieldOf, hasFailed, parseTrace, parseTraceLine } from './lines.ts';

const line = (rest: string): string => `         flannel-9862    [000] bN...   906.715551: ${rest}`;
const at = { tid: 9862, atNs: 906_715_551_000 };

describe('a line of a trace', () => {
  test.for([
    {
      name: 'an event with its fields',
      text: line('sched_process_exec: filename=/opt/cni/bin/flannel pid=9862 old_pid=9862'),
      want: {
        ...at,
        event: 'sched_process_exec',
        call: undefined,
        text: 'filename=/opt/cni/bin/flannel pid=9862 old_pid=9862',
      },
    },
    {
      name: 'a call',
      text: line('sys_openat(dfd: 0xffffff9c, filename: 0x7f, flags: 0xc1, mode: 0x180)'),
      want: {
        ...at,
        event: 'sys_enter',
        call: 'openat',
        text: 'dfd: 0xffffff9c, filename: 0x7f, flags: 0xc1, mode: 0x180',
      },
    },
    {
      name: 'what a call returned',
      text: line('sys_openat -> 0x3'),
      want: { ...at, event: 'sys_exit', call: 'openat', text: '3' },
    },
    {
      name: 'a program with a dash in its name',
      text: '   kworker/u8:0-12      [001] .....   905.153213: workqueue_execute_start: work struct 0: function f',
      want: {
        tid: 12,
        atNs: 905_153_213_000,
        event: 'workqueue_execute_start',
        call: undefined,
        text: 'work struct 0: function f',
      },
    },
    { name: 'a comment', text: '# tracer: nop', want: undefined },
    { name: 'lost events', text: 'CPU:1 [LOST 12 EVENTS]', want: undefined },
    { name: 'nothing', text: '', want: undefined },
  ])('is read: $name', ({ text, want }) => {
    expect(parseTraceLine(text)).toEqual(want);
  });

  test('is split into named fields', () => {
    const [created] = parseTrace(line('qdisc_create: dev=eth0 kind=noqueue parent=ffff:ffff')).lines;
    if (created === undefined) throw new Error('not read');
    expect(fieldOf(created, 'dev')).toBe('eth0');
    expect(fieldOf(created, 'ev')).toBeUndefined();
  });

  test.for([
    { value: '0x3', failed: false },
    { value: '0x0', failed: false },
    { value: '0x7ffff0000000', failed: false },
    { value: '0xffffffffffffffef', failed: true },
    { value: '0xfffffff5', failed: true },
  ])('tells whether a call failed: $value', ({ value, failed }) => {
    const [returned] = parseTrace(line(`sys_openat -> ${value}`)).lines;
    expect(returned !== undefined && hasFailed(returned)).toBe(failed);
  });
});

test('a trace is sorted by time and counts lost lines', () => {
  const text = [
    '# tracer: nop',
    'x-2 [001] ..... 2.000000: b: -',
    'CPU:0 [LOST 7 EVENTS]',
    'x-1 [000] ..... 1.000000: a: -',
  ];
  const { lines, lost } = parseTrace(text.join('\n'));
  expect(lines.map(({ event }) => event)).toEqual(['a', 'b']);
  expect(lost).toBe(7);
});
