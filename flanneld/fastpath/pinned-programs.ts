// Programs that `flanneld load-fast-path` has loaded and pinned before the agent starts: where conntrack is a module, a program that calls
// its functions needs CAP_SYS_ADMIN to be loaded, which the agent does not have. The pins' names contain the programs' version, so that an
// agent uses only its own.

import { mapInfo } from '../../lib/bpf/map.ts';
import { openPinned, pinObject } from '../../lib/bpf/pin.ts';
import { programInfo } from '../../lib/bpf/program.ts';
import { closeFd, listDir, removeFile } from '../../lib/sys/file.ts';
import type { Syscalls } from '../../lib/sys/syscalls.ts';
import {
  type LoadedPrograms,
  type NodeMaps,
  type ProgramName,
  programNames,
  versionOfPrograms,
} from './programs/node-programs.ts';

const PROGRAM_PIN = /^program_/;

/** The names of the pins of this version. */
function pinNames(): Record<ProgramName, string> {
  const version = versionOfPrograms();
  return Object.fromEntries(programNames.map((name) => [name, `program_${name}_${version}`])) as Record<
    ProgramName,
    string
  >;
}

/** The pinned programs of this version that work with these maps; undefined unless all are there. Throws SysError. */
export function openPrograms(sys: Syscalls, folder: string | undefined, maps: NodeMaps): LoadedPrograms | undefined {
  if (folder === undefined) return undefined;
  const mapIds = new Set([...maps.values()].map((map) => mapInfo(sys, map).id));
  const pins = pinNames();
  const found: [ProgramName, number][] = [];
  for (const name of programNames) {
    const fd = openPinned(sys, `${folder}/${pins[name]}`);
    if (fd === undefined) break;
    found.push([name, fd]);
    // The maps were replaced by ones of another layout since, and the programs would read the old ones.
    if (!programInfo(sys, fd).mapIds.every((id) => mapIds.has(id))) break;
    if (found.length === programNames.length) return Object.fromEntries(found) as LoadedPrograms;
  }
  for (const [, fd] of found) closeFd(sys, fd);
  return undefined;
}

/** Pins programs, and removes the pins of other versions. Throws SysError. */
export function pinPrograms(sys: Syscalls, folder: string, programs: LoadedPrograms): void {
  for (const pin of listDir(sys, folder) ?? []) if (PROGRAM_PIN.test(pin)) removeFile(sys, `${folder}/${pin}`);
  const pins = pinNames();
  for (const name of programNames) pinObject(sys, programs[name], `${folder}/${pins[name]}`);
}
