// What a reader of a figure must know about the machine and the programs that it comes from.

import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { cpus, loadavg, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { openKoffiSyscalls } from '../lib/sys/koffi.ts';
import { readOffloads } from './offloads.ts';

export interface Disclosure {
  /** When the run began, ISO 8601. */
  readonly taken: string;
  readonly cpu: string;
  readonly cpus: number;
  readonly memoryMb: number;
  readonly kernel: string;
  readonly kernelCommandLine: string;
  /** Hypervisor, governor, clock source and the like; `unknown` where the machine does not say. */
  readonly hardware: Readonly<Record<string, string>>;
  /** What the kernel does against flaws of the processor; those it is not affected by are left out. */
  readonly mitigations: Readonly<Record<string, string>>;
  readonly sysctls: Readonly<Record<string, string>>;
  /** Offloads and MTU of a veth and of a VXLAN device, as this kernel creates them. */
  readonly offloads: Readonly<Record<string, string>>;
  readonly versions: Readonly<Record<string, string>>;
  /** The machine's load average over the minute before the run. */
  readonly load: number;
  readonly scratchFilesystem: string;
}

const SYSCTLS = [
  'kernel/randomize_va_space',
  'net/core/bpf_jit_enable',
  'net/core/default_qdisc',
  'net/core/netdev_max_backlog',
  'net/core/rmem_default',
  'net/core/rmem_max',
  'net/core/wmem_max',
  'net/ipv4/ip_forward',
  'net/ipv4/neigh/default/gc_thresh3',
  'net/ipv4/tcp_congestion_control',
  'net/bridge/bridge-nf-call-iptables',
];
const HARDWARE: Readonly<Record<string, string>> = {
  'clock source': '/sys/devices/system/clocksource/clocksource0/current_clocksource',
  governor: '/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor',
  'simultaneous multithreading': '/sys/devices/system/cpu/smt/control',
  'transparent huge pages': '/sys/kernel/mm/transparent_hugepage/enabled',
  hypervisor: '/sys/hypervisor/type',
  'system vendor': '/sys/class/dmi/id/sys_vendor',
};
const MITIGATIONS = '/sys/devices/system/cpu/vulnerabilities';

/** Reads all of it. What the machine does not say is "unknown". The plugins keep their files in the folder `scratch`. */
export function discloseMachine(repository: string, scratch: string): Disclosure {
  const [first] = cpus();
  return {
    taken: new Date().toISOString(),
    cpu: first?.model ?? 'unknown',
    cpus: cpus().length,
    memoryMb: Math.round(totalmem() / 1e6),
    kernel: `${release()} ${read('/proc/sys/kernel/version')}`,
    kernelCommandLine: kernelParameters(read('/proc/cmdline')),
    hardware: {
      ...Object.fromEntries(Object.entries(HARDWARE).map(([name, path]) => [name, read(path)])),
      virtual: / hypervisor /.test(read('/proc/cpuinfo')) ? 'yes' : 'no or unknown',
    },
    mitigations: readMitigations(),
    sysctls: Object.fromEntries(SYSCTLS.map((name) => [name.replaceAll('/', '.'), read(`/proc/sys/${name}`)])),
    offloads: offloads(),
    versions: versions(repository),
    load: loadavg()[0] ?? Number.NaN,
    scratchFilesystem: filesystemOf(scratch),
  };
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return 'unknown';
  }
}

/** Parameters that change how fast the kernel is; others say only how the machine was started. */
const SPEED =
  /^(?:mitigations|nosmt|spec|spectre|retbleed|pti|nopti|kpti|mds|tsx|l1tf|srbds|mmio|gather_data|isolcpus|nohz|rcu|preempt|threadirqs|idle|processor\.|intel_|amd_|cpufreq|cpuidle|clocksource|tsc|hugepage|transparent_hugepage|default_hugepagesz|numa|maxcpus|nr_cpus|nosmp|highres|skew_tick|init_on_|slub|slab|page_poison|randomize_kstack|cgroup|psi|audit|lockdep|debug|kasan|kfence)/;

/** The kernel's parameters that change its speed, without values that name a machine. Empty when there is none. */
export function kernelParameters(commandLine: string): string {
  const [parameters = ''] = commandLine.split(/(?:^| )--(?: |$)/);
  return parameters
    .split(' ')
    .filter((parameter) => SPEED.test(parameter))
    .join(' ');
}

function readMitigations(): Record<string, string> {
  let names: string[] = [];
  try {
    names = readdirSync(MITIGATIONS);
  } catch {
    return {};
  }
  const found = names.map((name): [string, string] => [name, read(join(MITIGATIONS, name))]);
  return Object.fromEntries(found.filter(([, text]) => text !== 'Not affected'));
}

function offloads(): Record<string, string> {
  try {
    return readOffloads(openKoffiSyscalls());
  } catch (error) {
    return { unknown: error instanceof Error ? error.message : String(error) };
  }
}

function versions(repository: string): Record<string, string> {
  const { id, quickjs, compiler } = JSON.parse(readOr(join(repository, 'dist/cni/BUILD.json'), '{}'));
  return {
    weft: commitOf(repository),
    'dist/cni/flannel': `${id ?? 'not built'} (QuickJS-ng ${quickjs?.version ?? 'unknown'}, ${compiler ?? 'unknown'})`,
    Node: process.version,
    iproute2: firstLine('ip', '-V'),
    nftables: firstLine('nft', '--version'),
    gcc: firstLine('gcc', '--version'),
  };
}

function readOr(path: string, otherwise: string): string {
  const text = read(path);
  return text === 'unknown' ? otherwise : text;
}

function firstLine(program: string, ...args: string[]): string {
  return spawnSync(program, args, { encoding: 'utf8' }).stdout?.split('\n')[0]?.trim() || 'unknown';
}

/** The commit, such as `a4e6561`, with a remark when files differ from it. */
function commitOf(repository: string): string {
  const git = (...args: string[]): string | undefined => {
    const { status, stdout } = spawnSync('git', ['-C', repository, ...args], { encoding: 'utf8' });
    return status === 0 ? stdout.trim() : undefined;
  };
  const commit = git('rev-parse', '--short=10', 'HEAD');
  if (commit === undefined) return 'unknown';
  return git('status', '--porcelain', '--untracked-files=no') === '' ? commit : `${commit} with changes`;
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
export function describeMachine({
  cpu,
  cpus: count,
  kernel,
  versions: of,
  load,
  scratchFilesystem,
}: Disclosure): string {
  const [type] = scratchFilesystem.split(' ');
  const programs = `Node ${of['Node']}, Weft ${of['weft']}`;
  return `${count} × ${cpu}, Linux ${kernel.split(' ')[0]}, ${programs}, ${type}, load ${load.toFixed(1)} before`;
}

/** Everything in the disclosure, as a text for each name. */
export function describeDisclosure(machine: Disclosure): Record<string, string> {
  const list = (facts: Readonly<Record<string, string>>): string =>
    Object.entries(facts)
      .map(([name, text]) => `${name}: ${text}`)
      .join('\n');
  return {
    taken: machine.taken,
    processors: `${machine.cpus} × ${machine.cpu}`,
    memory: `${machine.memoryMb} MB`,
    kernel: machine.kernel,
    'kernel command line': machine.kernelCommandLine,
    hardware: list(machine.hardware),
    mitigations: list(machine.mitigations),
    sysctls: list(machine.sysctls),
    'offloads and MTU': list(machine.offloads),
    versions: list(machine.versions),
    'load before the run': machine.load.toFixed(1),
    'file system of the plugins’ state': machine.scratchFilesystem,
  };
}
