import { describe, expect, test } from 'vitest';
import { parseTrace } from './lines.ts';
import { findMilestones } from './milestones.ts';

/** An event at this time, in microseconds. */
type Event = readonly [us: number, tid: number, text: string];

const trace = (events: readonly Event[]) =>
  parseTrace(events.map(([us, tid, text]) => `x-${tid} [000] ..... 1.${`${us}`.padStart(6, '0')}: ${text}`).join('\n'))
    .lines;
const T0 = 1e9;
const us = (value: number): number => T0 + value * 1000;

const opens = (at: number, tid: number): Event => [
  at,
  tid,
  'sys_openat(dfd: 0x3, filename: 0x7f, flags: 0xc1, mode: 0x180)',
];
const returns = (at: number, tid: number, value: string): Event => [at, tid, `sys_openat -> ${value}`];
const up = (at: number, dev: string): Event => [at, 7, `qdisc_create: dev=${dev} kind=noqueue parent=ffff:ffff`];
const watch = (from: number, to: number, tid: number): Event[] => [
  [from, tid, 'workqueue_execute_start: work struct 0: function linkwatch_event'],
  [to, tid, 'workqueue_execute_end: work struct 0: function linkwatch_event'],
];

const weft: Event[] = [
  [300, 7, 'sched_process_exec: filename=/opt/cni/bin/flannel pid=7 old_pid=7'],
  returns(400, 7, '0x3'),
  opens(900, 7),
  returns(950, 7, '0x4'),
  up(1800, 'veth1234'),
  up(2000, 'eth0'),
  ...watch(2020, 2120, 12),
];

describe('the milestones', () => {
  test('are found in a plugin that allocates the address first', () => {
    expect(findMilestones(trace(weft), T0)).toEqual({ t1: us(300), t2: us(950), t3: us(2000), t4: us(2120) });
  });

  test('are found in a plugin whose own IPAM program allocates last', () => {
    const late = [...weft.filter(([, , text]) => !text.includes('openat')), opens(5000, 9), returns(5040, 9, '0x5')];
    expect(findMilestones(trace(late), T0)).toEqual({ t1: us(300), t2: us(5040), t3: us(2000), t4: us(2120) });
  });

  test('creating a file of an address that is taken is no allocation', () => {
    const taken = [opens(500, 7), returns(510, 7, '0xffffffffffffffef'), ...weft];
    expect(findMilestones(trace(taken), T0).t2).toBe(us(950));
  });

  test('the return of another thread does not end this thread’s call', () => {
    expect(findMilestones(trace([opens(500, 7), returns(510, 8, '0x3'), returns(520, 7, '0x4')]), T0).t2).toBe(us(520));
  });

  test('the kernel’s link watch counts only after the interface is up', () => {
    const before = weft.filter(([, tid]) => tid !== 12);
    expect(findMilestones(trace([...before, ...watch(1900, 2050, 12)]), T0).t4).toBeUndefined();
    expect(findMilestones(trace([...before, ...watch(1900, 2050, 12), ...watch(2060, 2090, 13)]), T0).t4).toBe(
      us(2090),
    );
  });

  test('events before the call belong to another pod', () => {
    expect(findMilestones(trace(weft), us(1000))).toEqual({
      t1: undefined,
      t2: undefined,
      t3: us(2000),
      t4: us(2120),
    });
  });

  test('there are none without a trace', () => {
    expect(findMilestones([], T0)).toEqual({ t1: undefined, t2: undefined, t3: undefined, t4: undefined });
  });
});
