import { describe, expect, test } from 'vitest';
import type { PodState } from '../contract.ts';
import { LabPod, type PodHome } from '../lab-pod.ts';
import type { Pair } from '../matrix.ts';
import { matrixReport, nextSteps, setupReport } from './report.ts';

const home = (name: string): PodHome => ({
  name,
  pid: 1,
  runner: undefined as never,
  removePod: () => Promise.reject(new Error('no')),
});

/** A pod whose two plugins took `times` milliseconds. */
function pod(name: string, node: string, ip: string, times: readonly [number, number]): LabPod {
  const run = (type: string, startNs: number, ms: number) =>
    ({ type, command: 'ADD', startNs, endNs: startNs + ms * 1e6, exitCode: 0, stderr: '' }) as const;
  const runs = [run('flannel', 0, times[0]), run('portmap', times[0] * 1e6, times[1])];
  const timings = { netnsMs: 1, addMs: times[0] + times[1], runs };
  const state: PodState = {
    name,
    containerId: 'c',
    netns: '/run/netns/x',
    ifName: 'eth0',
    ips: [ip],
    result: {},
    timings,
  };
  return new LabPod(home(node), state);
}

function pairsOf(pods: readonly LabPod[], failing: string): Pair[] {
  return pods.flatMap((from) =>
    pods
      .filter((to) => to !== from)
      .map((to): Pair => {
        const both = { from: from.name, to: to.name, ip: to.ip };
        return to.name === failing ? { ...both, failure: 'no answer in 1000 ms' } : { ...both, rttMs: 0.125 };
      }),
  );
}

describe('matrixReport', () => {
  const pods = [
    pod('a', 'n1', '10.0.0.1', [1, 2]),
    pod('b', 'n1', '10.0.0.2', [1, 2]),
    pod('c', 'n2', '10.0.0.3', [1, 2]),
  ];

  test('shows every pair as a square, and the reason of each that failed', () => {
    expect(matrixReport(pods, pairsOf(pods, 'c'))).toBe(
      [
        '  ms     a     b      c',
        '  a      ·  0.13  fails',
        '  b   0.13     ·  fails',
        '  c   0.13  0.13      ·',
        '',
        '  a → c: no answer in 1000 ms',
        '  b → c: no answer in 1000 ms',
        '',
      ].join('\n'),
    );
  });

  test('shows one line for each pod when there are many', () => {
    const many = Array.from({ length: 13 }, (_, index) => pod(`p${index}`, 'n', `10.0.0.${index}`, [1, 2]));
    const lines = matrixReport(many, pairsOf(many, 'p3')).split('\n');
    expect(lines[0]).toBe('  from  answered  median ms  slowest ms');
    expect(lines[1]).toBe('  p0    11 of 12       0.13        0.13');
    expect(lines[4]).toBe('  p3    12 of 12       0.13        0.13');
    expect(lines.filter((line) => line.includes('→ p3: no answer'))).toHaveLength(12);
  });
});

test('setupReport shows each plugin’s time and the medians', () => {
  const pods = [pod('a', 'n1', '10.0.0.1', [2, 1]), pod('b', 'n2', '10.0.0.2', [4, 2])];
  expect(setupReport(pods)).toBe(
    [
      '  pod     node   address  flannel ms  portmap ms  ADD ms',
      '  a         n1  10.0.0.1         2.0         1.0     3.0',
      '  b         n2  10.0.0.2         4.0         2.0     6.0',
      '  median                         3.0         1.5     4.5',
      '',
    ].join('\n'),
  );
});

describe('nextSteps', () => {
  test('names the lab only when it does not have the usual name', () => {
    expect(nextSteps(true, 'lab', 'node-1', [])).toContain('  npm run lab -- exec node-1 flanneld status ');
    expect(nextSteps(true, 'mine', 'node-1', [])).toContain('  npm run lab -- --name mine down');
  });

  test('suggests a ping from the first pod to the last', () => {
    const pods = [
      { name: 'pod-1-1', ip: '10.244.1.2' },
      { name: 'pod-2-1', ip: '10.244.2.2' },
    ];
    expect(nextSteps(true, 'lab', 'node-1', pods)).toContain('  npm run lab -- exec pod-1-1 ping 10.244.2.2 ');
  });

  test('suggests a kept lab after one that has been removed', () => {
    expect(nextSteps(false, 'lab', 'node-1', [])).toContain('npm start -- --nodes 5 --pods 4 --keep');
  });
});
