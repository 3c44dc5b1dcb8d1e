// The points at which a program can be killed: every system call that it makes, as killer.c lists them.

import { syscallNumbers } from '../../../lib/sys/numbers.ts';

/** The `nth` call with `number` of process `process`, counted from 0 in the order of appearance. */
export interface Point {
  readonly process: number;
  readonly number: number;
  readonly nth: number;
}

/** Parses the lines killer.c writes: process, number, nth. */
export function parsePoints(text: string): Point[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [process = -1, number = -1, nth = -1] = line.split(' ').map(Number);
      return { process, number, nth };
    });
}

/**
 * The points that all traces have, in the order of the first trace. Others are left out, because how often a program waits for the
 * kernel differs from run to run.
 */
export function commonPoints(traces: readonly (readonly Point[])[]): Point[] {
  const [first = [], ...others] = traces;
  const known = others.map((points) => new Set(points.map(keyOf)));
  return first.filter((point) => known.every((keys) => keys.has(keyOf(point))));
}

function keyOf({ process, number, nth }: Point): string {
  return `${process} ${number} ${nth}`;
}

/** For example `sendto 2 of process 1`. */
export function describePoint({ process, number, nth }: Point, arch: 'x64' | 'arm64'): string {
  const name = Object.entries(syscallNumbers(arch)).find(([, value]) => value === number)?.[0] ?? `call ${number}`;
  return `${name} ${nth} of process ${process}`;
}

/** The results of killing one plugin at each of its points. */
export interface KillReport {
  readonly points: number;
  readonly failures: readonly string[];
}
