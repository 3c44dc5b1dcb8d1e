// Lists what a lab could leave on the machine, to compare before and after. It covers only labs of the caller, because others may
// start and end meanwhile. A lab's processes hold its namespaces, so when no process is left, no namespace is.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { commandLine, descendantsOf, isAlive, listPids, type ProcessId, processId } from '../processes.ts';

export interface Footprint {
  readonly processes: readonly string[];
  readonly mounts: readonly string[];
  readonly devices: readonly string[];
  readonly cgroups: readonly string[];
  readonly files: readonly string[];
}

/** Folders to which a node writes. */
const RECORDS = '/run/weft-lab';
const FOLDERS = ['/run/lab', '/run/flannel', '/run/netns', '/var/lib/cni', '/etc/cni', '/opt/cni', '/etc/kube-flannel'];

/** `owners` are the processes whose labs count. The name of a lab contains its owner's pid. */
export function footprint(owners: readonly number[]): Footprint {
  const isMine = (lab: string): boolean => owners.some((pid) => lab.split('-').includes(String(pid)));
  return {
    processes: labProcesses()
      .filter(({ lab }) => isMine(lab))
      .map(({ line }) => line),
    mounts: labMounts(),
    devices: labDevices(),
    cgroups: cgroups(),
    files: [...labFiles(), ...readdirIfThere(RECORDS).filter((file) => isMine(file.replace('.json', '')))],
  };
}

/** The processes of all labs, recognised by the title that `ps` shows. */
function labProcesses(): { lab: string; line: string }[] {
  return listPids().flatMap((pid) => {
    const line = (commandLine(pid) ?? []).join(' ');
    const lab = /weft-(?:lab|node):([^: ]+)/.exec(line)?.[1];
    return lab === undefined ? [] : [{ lab, line }];
  });
}

function labMounts(): string[] {
  const points = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => line.split(' ')[4] ?? '');
  return points.filter((point) => /cni-|weft|\/run\/lab|boot_id|^\/(etc|opt|var\/lib)$/.test(point));
}

function labDevices(): string[] {
  return readdirSync('/sys/class/net').filter((name) => /^(ul-|underlay|flannel|cni0|veth)/.test(name));
}

function cgroups(): string[] {
  const root = '/sys/fs/cgroup';
  return readdirSync(root).flatMap((controller) => foldersIn(`${root}/${controller}`));
}

function foldersIn(path: string): string[] {
  const entries = readdirSync(path, { withFileTypes: true });
  return entries.filter((entry) => entry.isDirectory()).map(({ name }) => `${path}/${name}`);
}

function labFiles(): string[] {
  return FOLDERS.filter((path) => existsSync(path)).flatMap((path) => [
    path,
    ...readdirSync(path, { recursive: true, encoding: 'utf8' })
      .filter((name) => !path.endsWith('netns') || name.startsWith('cni-'))
      .map((name) => `${path}/${name}`),
  ]);
}

function readdirIfThere(path: string): string[] {
  return existsSync(path) ? readdirSync(path) : [];
}

/** Returns the process and all processes below it, so that `survivors` can tell which of them still run. */
export function familyOf(pid: number): ProcessId[] {
  return descendantsOf(pid).flatMap((one) => processId(one) ?? []);
}

export function survivors(family: readonly ProcessId[]): ProcessId[] {
  return family.filter(isAlive);
}
