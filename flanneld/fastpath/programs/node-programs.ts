// Makes or takes over a node's maps and programs in the kernel.

import { createHash } from 'node:crypto';
import { type KernelFunction, linkProgram } from '../../../lib/bpf/assembler.ts';
import { findFunctions, moduleBtfPath } from '../../../lib/bpf/btf.ts';
import { type BpfMap, createMap, type MapSpec } from '../../../lib/bpf/map.ts';
import { openModuleBtf } from '../../../lib/bpf/module-btf.ts';
import { loadProgram } from '../../../lib/bpf/program.ts';
import { OpError } from '../../../lib/errors.ts';
import { nearMap, podsMap } from '../../../lib/pods/fast-path-pods.ts';
import { closeFd, statPath } from '../../../lib/sys/file.ts';
import type { Syscalls } from '../../../lib/sys/syscalls.ts';
import { fromPodProgram } from './from-pod.ts';
import { fromTunnelProgram } from './from-tunnel.ts';
import { fromUnderlayProgram } from './from-underlay.ts';
import { countersMap, peersMap, stateMap } from './layout.ts';
import { settingsMap } from './settings.ts';

const CONNTRACK = 'nf_conntrack';
const FUNCTIONS = ['bpf_skb_ct_lookup', 'bpf_ct_release'] as const;

/** Open maps, by the names that the programs use. */
export type NodeMaps = ReadonlyMap<string, BpfMap>;

/** The specifications of all maps, by the names that the programs use. */
export const mapSpecs: ReadonlyMap<string, MapSpec> = new Map([
  ['state', stateMap],
  ['settings', settingsMap],
  ['counters', countersMap],
  ['pods4', podsMap(4)],
  ['near4', nearMap],
  ['peers4', peersMap(4)],
  ['pods6', podsMap(6)],
  ['peers6', peersMap(6)],
]);

/**
 * Runs `body`, which makes or takes over maps. Before Linux 5.11 maps count as locked memory, of which root may have as little as anybody.
 * The kernel then refuses them with EPERM, which would hide that it is too old for the programs, so that is said instead.
 */
export function withMapRights<T>(sys: Syscalls, body: () => T): T {
  try {
    return withRights('CAP_BPF', body);
  } catch (error) {
    if (error instanceof OpError && error.code === 'EPERM') searchConntrack(sys);
    throw error;
  }
}

/** Makes all maps. They are empty, so programs leave every packet to the kernel. Throws SysError. */
export function createMaps(sys: Syscalls): NodeMaps {
  return new Map([...mapSpecs].map(([name, spec]) => [name, createMap(sys, spec)]));
}

/** The kernel's conntrack functions in the form in which programs call them. */
interface Conntrack {
  readonly functions: ReadonlyMap<string, KernelFunction>;
  /** The BTF of the module that has them, for `fd_array`; open until closed. Empty where conntrack is built in. */
  readonly moduleBtf: readonly number[];
}

/**
 * Finds the kernel's conntrack functions. Throws an OpError where they cannot be called: a kernel before 5.18, without BTF, or with a
 * module that is not loaded.
 */
function findConntrack(sys: Syscalls): Conntrack {
  // This right is checked first: without it the search, which takes a tenth of a second, would be in vain.
  const fd = withRights('CAP_SYS_ADMIN, or programs that `flanneld load-fast-path` has loaded', () =>
    isModule(sys) ? openModuleBtf(sys, CONNTRACK) : undefined,
  );
  try {
    const found = searchConntrack(sys);
    // The first element stands for the kernel itself.
    return fd === undefined
      ? { functions: named(found, 0), moduleBtf: [] }
      : { functions: named(found, 1), moduleBtf: [fd, fd] };
  } catch (error) {
    if (fd !== undefined) closeFd(sys, fd);
    throw error;
  }
}

function isModule(sys: Syscalls): boolean {
  return statPath(sys, moduleBtfPath(CONNTRACK)) !== undefined;
}

/** The BTF ids of the conntrack functions. Throws OpError where the kernel has none of them. This takes no rights. */
function searchConntrack(sys: Syscalls): Map<string, number> {
  const found = findFunctions(sys, FUNCTIONS, isModule(sys) ? CONNTRACK : undefined);
  if (found?.size === FUNCTIONS.length) return found;
  throw unavailable(
    found === undefined
      ? 'the kernel describes no types (no /sys/kernel/btf)'
      : 'the functions are neither in the kernel nor in a loaded module',
  );
}

function named(ids: ReadonlyMap<string, number>, fdIndex: number): Map<string, KernelFunction> {
  return new Map([...ids].map(([name, btfId]) => [name, { btfId, fdIndex }]));
}

function unavailable(detail: string): OpError {
  return new OpError({ subsystem: 'bpf', op: 'find', object: `functions of ${CONNTRACK}`, code: 'ENOENT', detail });
}

/** The programs under the names that this code and messages use. */
const assembled = {
  fromPod: fromPodProgram,
  fromTunnel: fromTunnelProgram,
  fromUnderlay: fromUnderlayProgram,
} as const;
export type ProgramName = keyof typeof assembled;
export const programNames: readonly ProgramName[] = ['fromPod', 'fromTunnel', 'fromUnderlay'];
/** The names that `bpftool prog` shows. */
const kernelNames: Record<ProgramName, string> = {
  fromPod: 'weft_from_pod',
  fromTunnel: 'weft_from_tunl',
  fromUnderlay: 'weft_from_undl',
};

/** Descriptors of the loaded programs. */
export type LoadedPrograms = Readonly<Record<ProgramName, number>>;

/** A hash of the programs' instructions, which tells versions apart. */
export function versionOfPrograms(): string {
  const hash = createHash('sha256');
  for (const name of programNames) {
    const { bytes, relocations } = assembled[name]();
    hash.update(bytes).update(JSON.stringify(relocations));
  }
  return hash.digest('hex').slice(0, 12);
}

/** Assembles and loads all programs. Throws OpError with the verifier's words, or EPERM. */
export function loadPrograms(sys: Syscalls, maps: NodeMaps): LoadedPrograms {
  const conntrack = findConntrack(sys);
  try {
    return withRights('CAP_BPF and CAP_NET_ADMIN', () => loadWith(sys, maps, conntrack));
  } finally {
    // The loaded programs hold the module, so its descriptors may be closed.
    for (const fd of new Set(conntrack.moduleBtf)) closeFd(sys, fd);
  }
}

function loadWith(sys: Syscalls, maps: NodeMaps, conntrack: Conntrack): LoadedPrograms {
  const descriptors = new Map([...maps].map(([name, { fd }]) => [name, fd]));
  const loaded: [ProgramName, number][] = [];
  try {
    for (const name of programNames) {
      const bytes = linkProgram(assembled[name](), descriptors, conntrack.functions);
      loaded.push([name, loadProgram(sys, { name: kernelNames[name], bytes, moduleBtf: conntrack.moduleBtf })]);
    }
  } catch (error) {
    for (const [, fd] of loaded) closeFd(sys, fd);
    throw error;
  }
  return Object.fromEntries(loaded) as LoadedPrograms;
}

/** Runs `body` and turns EPERM of bpf(2) into an error that names the missing rights. A seccomp profile also answers EPERM. */
function withRights<T>(rights: string, body: () => T): T {
  try {
    return body();
  } catch (error) {
    if (!(error instanceof OpError) || error.code !== 'EPERM') throw error;
    const { subsystem, op, object, code } = error;
    throw new OpError({ subsystem, op, object, code, detail: `it takes ${rights}`, cause: error });
  }
}
