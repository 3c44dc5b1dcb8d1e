// The fast path's maps, programs and links in the kernel. They are pinned in a bpffs where there is one, so that they outlive the agent:
// one that starts takes over the maps and links of the one before it. The names of the pins, and of the maps in them, are ours.

import { attachIngress, linkInfo, listIngressPrograms, replaceLinkProgram } from '../../lib/bpf/link.ts';
import { type BpfMap, createMap, mapInfo } from '../../lib/bpf/map.ts';
import { openPinned, pinObject } from '../../lib/bpf/pin.ts';
import { programInfo } from '../../lib/bpf/program.ts';
import { closeFd, listDir, makeDirs, removeFile } from '../../lib/sys/file.ts';
import type { Syscalls } from '../../lib/sys/syscalls.ts';
import { openPrograms, pinPrograms } from './pinned-programs.ts';
import { LINK_PIN } from './pins.ts';
import { allowFor } from './programs/heartbeat.ts';
import {
  type LoadedPrograms,
  loadPrograms,
  mapSpecs,
  type NodeMaps,
  type ProgramName,
  programNames,
  withRights,
} from './programs/node-programs.ts';
import { hasSettings, type ProgramSettings, writeSettings } from './programs/settings.ts';

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
  readonly #programs: LoadedPrograms;
  readonly #programIds = new Map<number, ProgramName>();
  /** Descriptors by the index of their device. */
  readonly #links = new Map<number, number>();

  /** Takes over what is pinned and makes the rest. Throws OpError and SysError when this kernel or node has no fast path. */
  constructor(sys: Syscalls, folder: string | undefined) {
    this.sys = sys;
    this.#folder = folder;
    const maps = new Map<string, BpfMap>();
    this.maps = maps;
    try {
      withRights('CAP_BPF', () => this.#openMaps(maps));
      this.#programs = openPrograms(sys, folder, maps) ?? loadPrograms(sys, maps);
      for (const name of programNames) this.#programIds.set(programInfo(sys, this.#programs[name]).id, name);
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

  /** Gives the programs their settings. They stop while these change, as they might see some old and some new ones. Throws SysError. */
  configure(settings: ProgramSettings): void {
    if (hasSettings(this.sys, this.map('settings'), settings)) return;
    this.allow(0);
    writeSettings(this.sys, this.map('settings'), settings);
  }

  /** Pins the programs, so that a process with fewer rights may use them. Throws SysError. */
  pinPrograms(): void {
    if (this.#folder !== undefined) pinPrograms(this.sys, this.#folder, this.#programs);
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
    const program = this.#programs[name];
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
    for (const fd of Object.values(this.#programs ?? {})) closeFd(this.sys, fd);
    for (const { fd } of this.maps.values()) closeFd(this.sys, fd);
  }

  /** Maps of another layout, which another version made, are useless, and so are the programs that use them. */
  #openMaps(maps: Map<string, BpfMap>): void {
    if (this.#folder !== undefined) makeDirs(this.sys, this.#folder, 0o700);
    for (const [name, spec] of mapSpecs) {
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
