// A node's maps and programs in the kernel: made or taken over, linked and loaded.

import { type KernelFunction, linkProgram } from '../../../lib/bpf/assembler.ts';
import { findFunctions } from '../../../lib/bpf/btf.ts';
import { type BpfMap, createMap, type MapSpec } from '../../../lib/bpf/map.ts';
import { openModuleBtf } from '../../../lib/bpf/module-btf.ts';
import { loadProgram } from '../../../lib/bpf/program.ts';
import { OpError } from '../../../lib/errors.ts';
import type { Family } from '../../../lib/ip.ts';
import { podsMap } from '../../../lib/pods/fast-path-pods.ts';
import { closeFd } from '../../../lib/sys/file.ts';
import type { Syscalls } from '../../../lib/sys/syscalls.ts';
import { fromPodProgram } from './from-pod.ts';
import { fromTunnelProgram } from './from-tunnel.ts';
import { countersMap, peersMap, stateMap } from './layout.ts';
import type { ProgramSettings } from './settings.ts';

const CONNTRACK = 'nf_conntrack';
const FUNCTIONS = ['bpf_skb_ct_lookup', 'bpf_ct_release'] as const;

/** By the names that the programs know. */
export type NodeMaps = ReadonlyMap<string, BpfMap>;

/** The maps that a node of these families needs, by the names that the programs know. */
export function mapSpecs(families: Iterable<Family>): Map<string, MapSpec> {
  const specs = new Map<string, MapSpec>([
    ['state', stateMap],
    ['counters', countersMap],
  ]);
  for (const family of families) specs.set(`pods${family}`, podsMap(family)).set(`peers${family}`, peersMap(family));
  return specs;
}

/** Makes all maps, empty: programs leave every packet to the kernel. Throws SysError. */
export function createMaps(sys: Syscalls, families: Iterable<Family>): NodeMaps {
  const maps = new Map<string, BpfMap>();
  for (const [name, spec] of mapSpecs(families)) maps.set(name, createMap(sys, spec));
  return maps;
}

/** The kernel's conntrack functions as programs call them. */
export interface Conntrack {
  readonly functions: ReadonlyMap<string, KernelFunction>;
  /** The BTF of the module they are in, for `fd_array`; open until closed. Empty where conntrack is built in. */
  readonly moduleBtf: readonly number[];
}

/**
 * Finds the kernel's conntrack functions. Throws an OpError where they cannot be called: a kernel before 5.18, without BTF, or with a
 * module that is not loaded.
 */
export function findConntrack(sys: Syscalls): Conntrack {
  const builtIn = findFunctions(sys, FUNCTIONS);
  if (builtIn === undefined) throw unavailable('the kernel describes no types (no /sys/kernel/btf)');
  if (builtIn.size === FUNCTIONS.length) return { functions: named(builtIn, 0), moduleBtf: [] };
  const inModule = findFunctions(sys, FUNCTIONS, CONNTRACK);
  if (inModule?.size !== FUNCTIONS.length) throw unavailable('they are neither in the kernel nor in a loaded module');
  const fd = openModuleBtf(sys, CONNTRACK);
  if (fd === undefined) throw unavailable('the module is not loaded');
  // The first element belongs to the kernel's own functions.
  return { functions: named(inModule, 1), moduleBtf: [fd, fd] };
}

function named(ids: ReadonlyMap<string, number>, fdIndex: number): Map<string, KernelFunction> {
  return new Map([...ids].map(([name, btfId]) => [name, { btfId, fdIndex }]));
}

function unavailable(detail: string): OpError {
  return new OpError({ subsystem: 'bpf', op: 'find', object: `functions of ${CONNTRACK}`, code: 'ENOENT', detail });
}

/** Descriptors of the two loaded programs. */
export interface LoadedPrograms {
  readonly fromPod: number;
  readonly fromTunnel: number;
}

/** Assembles and loads both programs. Throws OpError with the verifier's words, or EPERM. */
export function loadPrograms(
  sys: Syscalls,
  settings: ProgramSettings,
  maps: NodeMaps,
  conntrack: Conntrack,
): LoadedPrograms {
  const descriptors = new Map([...maps].map(([name, { fd }]) => [name, fd]));
  const load = (name: string, program: Parameters<typeof linkProgram>[0]) =>
    loadProgram(sys, {
      name,
      bytes: linkProgram(program, descriptors, conntrack.functions),
      moduleBtf: conntrack.moduleBtf,
    });
  const fromPod = load('weft_from_pod', fromPodProgram(settings));
  try {
    return { fromPod, fromTunnel: load('weft_from_tunl', fromTunnelProgram(settings)) };
  } catch (error) {
    closeFd(sys, fromPod);
    throw error;
  }
}
