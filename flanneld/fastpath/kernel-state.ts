// The fast path's maps, programs and links in the kernel. They are pinned in a bpffs where there is one, so that they outlive the agent:
// one that starts takes over the maps and links of the one before it. The names of the pins, and of the maps in them, are ours.

import { attachIngress, linkInfo, listIngressPrograms, replaceLinkProgram } from '../../lib/bpf/link.ts';
import { type BpfMap, createMap, mapInfo } from '../../lib/bpf/map.ts';
import { openPinned, pinObject } from '../../lib/bpf/pin.ts';
import { programInfo } from '../../lib/bpf/program.ts';
import type { Family } from '../../lib/ip.ts';
import { closeFd, listDir, makeDirs, removeFile } from '../../lib/sys/file.ts';
import type { Syscalls } from '../../lib/sys/syscalls.ts';
import { LINK_PIN } from './pins.ts';
import { allowFor } from './programs/heartbeat.ts';
import {
  type Conntrack,
  findConntrack,
  type LoadedPrograms,
  loadPrograms,
  mapSpecs,
  type NodeMaps,
} from './programs/node-programs.ts';
import type { ProgramSettings } from './programs/settings.ts';

export type ProgramName = keyof LoadedPrograms;

/** One attached program. */
export interface Attached {
  readonly ifindex: number;
  /** Undefined when it is not one of the programs that are loaded now. */
  readonly program: ProgramName | undefined;
}

export class KernelState {
  readonly maps: NodeMaps;
  readonly sys: Syscalls;
  /** The folder of the pins; undefined without a bpffs. */
  readonly #folder: string | undefined;
  readonly #conntrack: Conntrack;
  #programs: LoadedPrograms | undefined;
  #programIds = new Map<number, ProgramName>();
  /** Descriptors by the index of their device. */
  readonly #links = new Map<number, number>();

  /** Takes over what is pinned and makes the rest. Throws OpError and SysError when this kernel or node has no fast path. */
  constructor(sys: Syscalls, folder: string | undefined, families: Iterable<Family>) {
    this.sys = sys;
    this.#folder = folder;
    this.#conntrack = findConntrack(sys);
    const maps = new Map<string, BpfMap>();
    this.maps = maps;
    try {
      if (folder !== undefined) makeDirs(sys, folder, 0o700);
      this.#openMaps(families, maps);
      if (folder !== undefined) this.#openLinks(folder);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  map(name: string): BpfMap {
    const map = this.maps.get(name);
    if (map === undefined) throw new Error(`the fast path has no map ${name}`);
    return map;
  }

  /** Loads the programs for these settings. Links that are attached keep theirs until `attach`. Throws OpError. */
  load(settings: ProgramSettings): void {
    const programs = loadPrograms(this.sys, settings, this.maps, this.#conntrack);
    this.#closePrograms();
    this.#programs = programs;
    for (const name of ['fromPod', 'fromTunnel'] as const) {
      this.#programIds.set(programInfo(this.sys, programs[name]).id, name);
    }
  }

  /** The devices that have one of our links; a link that somebody detached, or whose device is gone, is removed. Throws SysError. */
  attached(): Attached[] {
    const found: Attached[] = [];
    for (const [ifindex, fd] of this.#links) {
      const info = linkInfo(this.sys, fd);
      if (info === undefined || info.ifindex !== ifindex) this.detach(ifindex);
      else found.push({ ifindex, program: this.#programIds.get(info.programId) });
    }
    return found;
  }

  /** Attaches a program to a device, or puts it into the link that is there. Throws SysError. */
  attach(ifindex: number, name: ProgramName): void {
    const program = this.#programs?.[name];
    if (program === undefined) throw new Error('the fast path has no programs yet');
    const link = this.#links.get(ifindex);
    if (link !== undefined) {
      replaceLinkProgram(this.sys, link, program);
      return;
    }
    const made = attachIngress(this.sys, program, ifindex);
    this.#links.set(ifindex, made);
    if (this.#folder !== undefined) pinObject(this.sys, made, `${this.#folder}/link_${ifindex}`);
  }

  detach(ifindex: number): void {
    if (this.#folder !== undefined) removeFile(this.sys, `${this.#folder}/link_${ifindex}`);
    const link = this.#links.get(ifindex);
    if (link !== undefined) closeFd(this.sys, link);
    this.#links.delete(ifindex);
  }

  /** The number of programs of others for packets that arrive at a device. Throws SysError. */
  foreignPrograms(ifindex: number): number {
    const all = listIngressPrograms(this.sys, ifindex).length;
    return this.#links.has(ifindex) ? Math.max(0, all - 1) : all;
  }

  /** Lets the programs redirect for so long from now on; 0 stops them at once. Throws SysError. */
  allow(milliseconds: number): void {
    allowFor(this.sys, this.map('state'), milliseconds);
  }

  /** Closes every descriptor; what is pinned goes on. Without a bpffs everything ends. */
  close(): void {
    for (const fd of this.#links.values()) closeFd(this.sys, fd);
    this.#links.clear();
    this.#closePrograms();
    for (const { fd } of this.maps.values()) closeFd(this.sys, fd);
    for (const fd of new Set(this.#conntrack.moduleBtf)) closeFd(this.sys, fd);
  }

  #closePrograms(): void {
    for (const fd of Object.values(this.#programs ?? {})) closeFd(this.sys, fd);
    this.#programs = undefined;
    this.#programIds = new Map();
  }

  /** Maps of another layout, which another version made, are useless, and so are the programs that use them. */
  #openMaps(families: Iterable<Family>, maps: Map<string, BpfMap>): void {
    for (const [name, spec] of mapSpecs(families)) {
      const path = `${this.#folder}/${name}`;
      const fd = this.#folder === undefined ? undefined : openPinned(this.sys, path);
      if (fd !== undefined) {
        const pinned = { fd, spec };
        if (mapInfo(this.sys, pinned).isAsSpecified) {
          maps.set(name, pinned);
          continue;
        }
        closeFd(this.sys, fd);
        removeFile(this.sys, path);
      }
      const map = createMap(this.sys, spec);
      maps.set(name, map);
      if (this.#folder !== undefined) pinObject(this.sys, map.fd, path);
    }
  }

  #openLinks(folder: string): void {
    for (const pin of listDir(this.sys, folder) ?? []) {
      const ifindex = Number(LINK_PIN.exec(pin)?.[1]);
      const fd = ifindex > 0 ? openPinned(this.sys, `${folder}/${pin}`) : undefined;
      if (fd !== undefined) this.#links.set(ifindex, fd);
    }
  }
}
