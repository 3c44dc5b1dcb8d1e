import { describe, expect, test } from 'vitest';
import { parseTrace } from '../trace/lines.ts';
import {
  alikeExecutions,
  callTable,
  findExecutions,
  namedCalls,
  segmentFigures,
  segmentTable,
} from './system-call-times.ts';

const DRIVER = 10;
const PROGRAM = '/bin/weft/flannel';

/** The lines of one execution that starts at `at` microseconds in process `pid`. */
function execution(
  at: number,
  pid: number,
  calls: readonly (readonly [name: string, from: number, to: number])[],
): string[] {
  const line = (tid: number, us: number, text: string): string =>
    `x-${tid} [000] ..... 5.${`${at + us}`.padStart(6, '0')}: ${text}`;
  return [
    line(DRIVER, 0, 'sys_pipe2(fildes: 0x7f, flags: 0x80000)'),
    line(DRIVER, 1, 'sys_pipe2 -> 0x0'),
    line(DRIVER, 2, 'sys_pipe2(fildes: 0x7f, flags: 0x80000)'),
    line(DRIVER, 3, 'sys_pipe2 -> 0x0'),
    line(pid, 100, `sched_process_exec: filename=${PROGRAM} pid=${pid} old_pid=${pid}`),
    line(pid, 101, 'sys_execve -> 0x0'),
    line(pid, 110, 'page_fault_user: address=0x1 ip=0x2 error_code=0x14'),
    ...calls.flatMap(([name, from, to]) => [
      line(pid, from, `sys_${name}(fd: 0x3)`),
      line(pid, to, `sys_${name} -> 0x0`),
    ]),
    line(pid, 700, 'qdisc_create: dev=eth0 kind=noqueue parent=ffff:ffff'),
    line(pid, 900, 'sys_exit_group(error_code: 0x0)'),
    line(DRIVER, 1000, 'sys_wait4 -> 0x7b'),
  ];
}

const CALLS = [
  ['openat', 200, 240],
  ['sendto', 300, 720],
] as const;
const strace = [
  '12 execve("/bin/weft/flannel", ["/bin/weft/flannel"], 0x7f /* 6 vars */) = 0',
  '12 openat(AT_FDCWD, "/var/lib/cni/networks/cbr0/10.88.0.6", O_WRONLY|O_CREAT|O_EXCL, 0600) = 3',
  '12 sendto(3, [{nlmsg_len=1, nlmsg_type=0x14, x}, {nlmsg_type=RTM_NEWLINK}], 9, 0, NULL, 0) = 9',
  '12 exit_group(0) = ?',
  '12 +++ exited with 0 +++',
].join('\n');

const executionsOf = (...lines: string[][]) => findExecutions(parseTrace(lines.flat().join('\n')).lines, DRIVER);

test('an execution goes from the first pipe to the end of the wait', () => {
  const [found] = executionsOf(execution(0, 11, CALLS));
  expect(found).toMatchObject({ startNs: 5e9, runsNs: 5e9 + 100_000, upNs: 5e9 + 700_000, endNs: 5e9 + 1_000_000 });
  expect(found?.calls.map(({ name, enterNs, exitNs }) => [name, enterNs - 5e9, exitNs - 5e9])).toEqual([
    ['openat', 200_000, 240_000],
    ['sendto', 300_000, 720_000],
    ['exit_group', 900_000, 1_000_000],
  ]);
});

test('executions with other system calls are left out', () => {
  const retried = [...CALLS, ['nanosleep', 750, 800]] as const;
  const all = executionsOf(execution(0, 11, CALLS), execution(2000, 12, retried), execution(4000, 13, CALLS));
  expect(alikeExecutions(all)).toHaveLength(2);
});

describe('texts of strace', () => {
  test('name files and messages', () => {
    expect(namedCalls(strace)).toEqual([
      { name: 'openat', about: '10.88.0.6' },
      { name: 'sendto', about: 'RTM_NEWADDR + RTM_NEWLINK' },
      { name: 'exit_group', about: '' },
    ]);
  });

  test('are not used for calls that it did not see', () => {
    const [first] = executionsOf(execution(0, 11, [...CALLS, ['close', 730, 731]]));
    const { rows } = callTable(first === undefined ? [] : [first], namedCalls(strace), 2);
    expect(rows).toEqual([
      ['2 sendto', '420'],
      ['4 exit_group', '100'],
    ]);
  });
});

test('a segment keeps one time for each execution', () => {
  const figures = segmentFigures('weft', 'weft', executionsOf(execution(0, 11, CALLS)), namedCalls(strace));
  expect(figures.map(({ key, name, samples }) => ({ key, name, samples }))).toEqual([
    { key: 'where/T1-T0/weft', name: 'T0–T1 pipes, fork and exec, weft', samples: [100] },
    { key: 'where/T2-T1/weft', name: 'T1–T2 to the address, weft', samples: [expect.any(Number)] },
    { key: 'where/T3-T2/weft', name: 'T2–T3 to the interface up in the pod, weft', samples: [460] },
    { key: 'where/T5-T3/weft', name: 'T3–T5 to the result and the end, weft', samples: [expect.any(Number)] },
  ]);
});

test('a segment is printed with its time outside of calls and its longest calls; a call over its edge counts in both segments', () => {
  const { rows } = segmentTable('weft', executionsOf(execution(0, 11, CALLS)), namedCalls(strace));
  expect(rows).toEqual([
    ['T0–T1 pipes, fork and exec', '100', '100', '0', '0', ''],
    ['T1–T2 to the address', '140', '100', '1', '1', 'openat 10.88.0.6 40'],
    ['T2–T3 to the interface up in the pod', '460', '60', '0', '1', 'sendto RTM_NEWADDR + RTM_NEWLINK 400'],
    ['T3–T5 to the result and the end', '300', '180', '0', '2', 'exit_group 100, sendto RTM_NEWADDR + RTM_NEWLINK 20'],
  ]);
});
