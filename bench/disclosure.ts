// What a reader of a figure must know of the machine it comes from.

import { readFileSync } from 'node:fs';
import { cpus, loadavg, release, totalmem } from 'node:os';

export interface Disclosure {
  readonly taken: string;
  readonly cpu: string;
  readonly cpus: number;
  readonly memoryMb: number;
  readonly kernel: string;
  readonly kernelCommandLine: string;
  readonly node: string;
  /** Of the last minute, before the run. */
  readonly load: number;
  readonly scratchFilesystem: string;
  readonly sysctls: Readonly<Record<string, string>>;
}

const SYSCTLS = ['net/core/rmem_default', 'net/core/rmem_max', 'kernel/randomize_va_space', 'net/ipv4/ip_forward'];

/** Reads it; what this machine does not tell is "unknown". `scratch` is the folder the plugins keep their files in. */
export function discloseMachine(scratch: string): Disclosure {
  const [first] = cpus();
  return {
    taken: new Date().toISOString(),
    cpu: first?.model ?? 'unknown',
    cpus: cpus().length,
    memoryMb: Math.round(totalmem() / 1e6),
    kernel: `${release()} ${read('/proc/sys/kernel/version')}`,
    kernelCommandLine: read('/proc/cmdline'),
    node: process.version,
    load: loadavg()[0] ?? Number.NaN,
    scratchFilesystem: filesystemOf(scratch),
    sysctls: Object.fromEntries(SYSCTLS.map((name) => [name.replaceAll('/', '.'), read(`/proc/sys/${name}`)])),
  };
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return 'unknown';
  }
}

/** Type and options of the file system a path lies on: the longest mount point above it. */
function filesystemOf(path: string): string {
  const mounts = read('/proc/self/mounts')
    .split('\n')
    .map((line) => line.split(' '))
    .filter(([, point = '']) => path === point || path.startsWith(point === '/' ? '/' : `${point}/`))
    .sort(([, a = ''], [, b = '']) => a.length - b.length);
  const [, , type = 'unknown', options = ''] = mounts.at(-1) ?? [];
  return `${type} ${options}`.trim();
}

/** One line for the terminal. */
export function describeMachine({ cpu, cpus: count, kernel, node, load, scratchFilesystem }: Disclosure): string {
  const [type] = scratchFilesystem.split(' ');
  return `${count} × ${cpu}, Linux ${kernel.split(' ')[0]}, Node ${node}, ${type}, load ${load.toFixed(1)} before`;
}
