// Reads about the agent of a lab node, as a process of this machine, from /proc (proc(5)).

import { readdirSync, readFileSync } from 'node:fs';
import type { LabNode } from '../lab/lab-node.ts';
import { descendantsOf } from '../lab/processes.ts';

/** The unit of times in /proc/PID/stat (USER_HZ). */
const MS_PER_TICK = 10;

/** The agent's pid as this process sees it. Rejects when no agent runs. */
export async function agentPid(node: LabNode): Promise<number> {
  const { pid, running } = await node.agent.state();
  // The node's runner knows only the pid in the innermost PID namespace.
  const found = running ? descendantsOf(node.pid).find((one) => innermost(one) === pid) : undefined;
  if (found === undefined) throw new Error(`no agent runs on ${node.name}`);
  return found;
}

function innermost(pid: number): number | undefined {
  const numbers = /^NSpid:\s*(.*)$/m.exec(read(`/proc/${pid}/status`))?.[1]?.split(/\s+/);
  return numbers === undefined ? undefined : Number(numbers.at(-1));
}

/** The processor time of all its threads since its start, in milliseconds. */
export function cpuMs(pid: number): number {
  return sumOfTicks(pid, 11, 13) * MS_PER_TICK;
}

/** The same including its children that have ended, in milliseconds. */
export function cpuTreeMs(pid: number): number {
  return sumOfTicks(pid, 11, 15) * MS_PER_TICK;
}

/** The processor time of its children that have ended, in milliseconds. */
export function childrenCpuMs(pid: number): number {
  return sumOfTicks(pid, 13, 15) * MS_PER_TICK;
}

/** Sums times of the process. utime, stime, cutime and cstime are the fields 11 to 14 after the name. */
function sumOfTicks(pid: number, from: number, to: number): number {
  const text = read(`/proc/${pid}/stat`);
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return fields.slice(from, to).reduce((sum, field) => sum + Number(field), 0);
}

/** How long each of its threads has waited for a processor in total, in milliseconds (proc(5), schedstat). */
export function processorWaits(pid: number): Map<string, number> {
  const threads = readdirSync(`/proc/${pid}/task`);
  return new Map(threads.map((thread) => [thread, waitOf(`/proc/${pid}/task/${thread}/schedstat`)]));
}

function waitOf(path: string): number {
  return Number(read(path).split(' ')[1] ?? 0) / 1e6;
}

/** The longest time that one thread has waited between the two readings. */
export function longestWaitMs(before: ReadonlyMap<string, number>, after: ReadonlyMap<string, number>): number {
  return Math.max(0, ...[...after].map(([thread, waited]) => waited - (before.get(thread) ?? 0)));
}

/** Resident memory in KiB. */
export function residentKib(pid: number): number {
  return memoryKib(pid, 'VmRSS');
}

/** Resident memory, its anonymous part, or its maximum so far, in KiB. */
export function memoryKib(pid: number, what: 'VmRSS' | 'RssAnon' | 'VmHWM'): number {
  return Number(new RegExp(`^${what}:\\s*(\\d+)`, 'm').exec(read(`/proc/${pid}/status`))?.[1]);
}

export function openDescriptors(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

/** The lowest number that no descriptor of the process has: with it as RLIMIT_NOFILE the process can open nothing more. */
export function lowestFreeDescriptor(pid: number): number {
  const open = new Set(readdirSync(`/proc/${pid}/fd`).map(Number));
  let free = 0;
  while (open.has(free)) free += 1;
  return free;
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    // The process has ended since it was listed.
    return '';
  }
}

/** One line of the agent's log. */
export interface LogLine {
  readonly level: string;
  readonly msg: string;
  readonly [fact: string]: unknown;
}

/** The agent's log from byte `from` on. */
export function logLines(node: LabNode, from = 0): LogLine[] {
  const text = Buffer.from(node.agent.log()).subarray(from).toString();
  return text
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as LogLine);
}

export function logLength(node: LabNode): number {
  return Buffer.byteLength(node.agent.log());
}
