// Shows where the time of an execution goes, from the kernel's trace of its system calls: for each call, and for each segment of
// the timeline. The time between two calls is the program's own: its instructions and the page faults they cause. Pure.

import { RTM_NEWADDR, RTM_NEWLINK, RTM_NEWROUTE } from '../../lib/rtnetlink/rtnetlink-constants.ts';
import { figure } from '../figures.ts';
import type { Figure, Table } from '../result.ts';
import { median } from '../stats.ts';
import { fieldOf, type TraceLine } from '../trace/lines.ts';

export interface TimedCall {
  readonly name: string;
  readonly enterNs: number;
  readonly exitNs: number;
}

/** One execution of a plugin, as the program that started it and the kernel saw it. */
export interface Execution {
  /** When the runtime made the first of the two pipes. */
  readonly startNs: number;
  /** When the plugin's execve was done. */
  readonly runsNs: number;
  /** When eth0 was up in the pod; undefined for a DEL. */
  readonly upNs: number | undefined;
  /** When the runtime's wait4 returned. */
  readonly endNs: number;
  readonly calls: readonly TimedCall[];
  /** When it had page faults; empty where the kernel does not trace them. */
  readonly faultsNs: readonly number[];
}

/** The executions that the process `starter` started, in order. */
export function findExecutions(lines: readonly TraceLine[], starter: number): Execution[] {
  const own = lines.filter(({ tid }) => tid === starter);
  return lines.flatMap((line): Execution[] => {
    if (line.event !== 'sched_process_exec') return [];
    const { tid, atNs: runsNs } = line;
    // The starter makes two pipes before each execution.
    const startNs = own
      .filter(({ event, call, atNs }) => event === 'sys_enter' && call === 'pipe2' && atNs < runsNs)
      .at(-2)?.atNs;
    const endNs = own.find(({ event, call, atNs }) => event === 'sys_exit' && call === 'wait4' && atNs > runsNs)?.atNs;
    if (startNs === undefined || endNs === undefined) return [];
    const inside = lines.filter((each) => each.tid === tid && each.atNs >= runsNs && each.atNs <= endNs);
    const upNs = inside.find((each) => each.event === 'qdisc_create' && fieldOf(each, 'dev') === 'eth0')?.atNs;
    const faultsNs = inside.filter(({ event }) => event === 'page_fault_user').map(({ atNs }) => atNs);
    return [{ startNs, runsNs, upNs, endNs, calls: timedCalls(inside, endNs), faultsNs }];
  });
}

function timedCalls(lines: readonly TraceLine[], endNs: number): TimedCall[] {
  const calls: TimedCall[] = [];
  let entered: TraceLine | undefined;
  for (const line of lines) {
    if (line.event === 'sys_enter') {
      entered = line;
      // exit_group does not return, so it ends with the process.
      if (line.call === 'exit_group') calls.push({ name: 'exit_group', enterNs: line.atNs, exitNs: endNs });
    } else if (line.event === 'sys_exit' && entered?.call === line.call && entered !== undefined) {
      calls.push({ name: line.call ?? '', enterNs: entered.atNs, exitNs: line.atNs });
      entered = undefined;
    }
  }
  return calls;
}

/** The largest group of executions that made the same calls in the same order. */
export function alikeExecutions(executions: readonly Execution[]): Execution[] {
  const byCalls = new Map<string, Execution[]>();
  for (const execution of executions) {
    const key = execution.calls.map(({ name }) => name).join(' ');
    byCalls.set(key, [...(byCalls.get(key) ?? []), execution]);
  }
  return [...byCalls.values()].sort((a, b) => b.length - a.length)[0] ?? [];
}

export interface NamedCall {
  readonly name: string;
  /** What the call works on, such as `cni0` or `RTM_NEWLINK RTM_NEWLINK`. */
  readonly about: string;
}

/** The calls in strace's output, without the first execve. */
export function namedCalls(strace: string): NamedCall[] {
  const calls = strace.split('\n').flatMap((line): NamedCall[] => {
    const [, name, args = ''] = /^(?:\d+ +)?([a-z_0-9]+)\((.*)$/.exec(line) ?? [];
    return name === undefined ? [] : [{ name, about: aboutOf(args) }];
  });
  return calls[0]?.name === 'execve' ? calls.slice(1) : calls;
}

/** Names of rtnetlink messages: strace cannot decode them on a socket that was created in another network namespace. */
const MESSAGES: Readonly<Record<string, string>> = {
  [`0x${RTM_NEWLINK.toString(16)}`]: 'RTM_NEWLINK',
  [`0x${RTM_NEWADDR.toString(16)}`]: 'RTM_NEWADDR',
  [`0x${RTM_NEWROUTE.toString(16)}`]: 'RTM_NEWROUTE',
};

function aboutOf(args: string): string {
  const types = [...args.matchAll(/nlmsg_type=(\w+)/g)].map(([, type = '']) => MESSAGES[type] ?? type);
  if (types.length > 0) return counted(types);
  const [, path] = /"(\/[^"]*|\d+\.\d+\.\d+\.\d+)"/.exec(args) ?? [];
  return path === undefined ? '' : path.slice(path.lastIndexOf('/') + 1).replace(/[0-9a-f]{64}/, 'ID');
}

/** Message types with their counts, such as `RTM_NEWLINK, 2 RTM_NEWROUTE`. */
function counted(types: readonly string[]): string {
  const different = [...new Set(types)];
  const count = (type: string): number => types.filter((each) => each === type).length;
  return different.map((type) => (count(type) === 1 ? type : `${count(type)} ${type}`)).join(' + ');
}

/** A part of the timeline, from one moment of an execution to another. */
interface Segment {
  readonly key: string;
  readonly name: string;
  readonly from: (execution: Execution) => number;
  readonly to: (execution: Execution) => number;
}

const ADDRESS = /^\d+\.\d+\.\d+\.\d+$/;
const DEAREST = 3;
const NS_PER_US = 1000;

/** One row for each segment: its time, the program's own share, the number of calls, and the slowest calls. */
export function segmentTable(whose: string, all: readonly Execution[], named: readonly NamedCall[]): Table {
  const executions = alikeExecutions(all);
  const names = labels(executions[0]?.calls ?? [], named);
  const rows = segments(allocatedAt(names)).map(({ name, from, to }) => {
    const total = medianUs(executions, (each) => to(each) - from(each));
    const calls = names.map((call, index) => {
      const us = medianUs(executions, (each) => overlap(each.calls[index], from(each), to(each)));
      return { ...call, us };
    });
    const inside = calls.filter(({ us }) => us > 0);
    const inCalls = inside.reduce((sum, { us }) => sum + us, 0);
    const dearest = [...inside].sort((a, b) => b.us - a.us).slice(0, DEAREST);
    const text = dearest.map((call) => `${`${call.name} ${call.about}`.trim()} ${call.us.toFixed(0)}`).join(', ');
    const faults = median(
      executions.map((each) => each.faultsNs.filter((at) => at >= from(each) && at < to(each)).length),
    );
    return [name, total.toFixed(0), (total - inCalls).toFixed(0), `${faults}`, `${inside.length}`, text];
  });
  return {
    title: `where an ADD of ${whose} goes: medians of ${executions.length} traced executions`,
    head: ['µs', 'in all', 'outside its calls', 'page faults', 'calls', `the ${DEAREST} dearest calls`],
    rows,
    answers: true,
  };
}

/** For each segment its microseconds in every execution. Like the table, it counts only executions with equal calls. */
export function segmentFigures(
  whose: string,
  key: string,
  all: readonly Execution[],
  named: readonly NamedCall[],
): Figure[] {
  const executions = alikeExecutions(all);
  const allocated = allocatedAt(labels(executions[0]?.calls ?? [], named));
  return segments(allocated).map(({ key: segment, name, from, to }) =>
    figure(
      { key: `where/${segment}/${key}`, name: `${name}, ${whose}`, unit: 'µs', better: 'lower', role: 'detail' },
      executions.map((each) => (to(each) - from(each)) / NS_PER_US),
    ),
  );
}

function allocatedAt(calls: readonly NamedCall[]): number {
  return calls.findIndex(({ name, about }) => name === 'openat' && ADDRESS.test(about));
}

function segments(allocated: number): Segment[] {
  const address = (each: Execution): number => each.calls[allocated]?.exitNs ?? Number.NaN;
  const up = (each: Execution): number => each.upNs ?? Number.NaN;
  return [
    { key: 'T1-T0', name: 'T0–T1 pipes, fork and exec', from: (each) => each.startNs, to: (each) => each.runsNs },
    { key: 'T2-T1', name: 'T1–T2 to the address', from: (each) => each.runsNs, to: address },
    { key: 'T3-T2', name: 'T2–T3 to the interface up in the pod', from: address, to: up },
    { key: 'T5-T3', name: 'T3–T5 to the result and the end', from: up, to: (each) => each.endNs },
  ];
}

/** strace's descriptions of the calls, where strace saw the same calls. */
function labels(calls: readonly TimedCall[], named: readonly NamedCall[]): NamedCall[] {
  const same = named.length === calls.length && calls.every(({ name }, index) => named[index]?.name === name);
  return same ? [...named] : calls.map(({ name }) => ({ name, about: '' }));
}

function overlap(call: TimedCall | undefined, fromNs: number, toNs: number): number {
  if (call === undefined) return 0;
  return Math.max(0, Math.min(call.exitNs, toNs) - Math.max(call.enterNs, fromNs));
}

function medianUs(executions: readonly Execution[], ns: (execution: Execution) => number): number {
  return median(executions.map(ns)) / NS_PER_US;
}

/** The slowest calls of whole executions, one row each. */
export function callTable(all: readonly Execution[], named: readonly NamedCall[], most: number): Table {
  const executions = alikeExecutions(all);
  const rows = labels(executions[0]?.calls ?? [], named).map(({ name, about }, index) => {
    const us = medianUs(executions, ({ calls }) =>
      overlap(calls[index], Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY),
    );
    return { text: `${index + 1} ${name} ${about}`.trim(), us };
  });
  return {
    title: 'its dearest calls',
    answers: true,
    head: ['µs', 'median'],
    rows: rows
      .sort((a, b) => b.us - a.us)
      .slice(0, most)
      .map(({ text, us }) => [text, us.toFixed(0)]),
  };
}
