// The fast path's maps and programs in the kernel, and the devices where the programs are attached. Where there is a bpffs they are pinned
// in it, so that they outlive the agent and the next agent takes them over. The names of the pins and of the maps are ours.

import { type BpfMap, createMap, mapInfo } from '../../lib/bpf/map.ts';
import { openPinned, pinObject } from '../../lib/bpf/pin.ts';
import { programInfo } from '../../lib/bpf/program.ts';
import type { Netlink } from '../../lib/netlink/connection.ts';
import { closeFd, makeDirs, removeFile } from '../../lib/sys/file.ts';
import type { Syscalls } from '../../lib/sys/syscalls.ts';
import type { Attachments } from './attachments.ts';
import { ClsactFilters } from './clsact-filters.ts';
import { openPrograms, pinPrograms } from './pinned-programs.ts';
import { allowFor } from './programs/deadline.ts';
import {
  type LoadedPrograms,
  loadPrograms,
  mapSpecs,
  type NodeMaps,
  type ProgramName,
  programNames,
  withMapRights,
} from './programs/node-programs.ts';
import { hasSettings, type ProgramSettings, writeSettings } from './programs/settings.ts';
import { hasTcx, TcxLinks } from './tcx-links.ts';

/** One attached program. */
export interface Attached {
  readonly ifindex: number;
  /** Undefined when it is not one of the programs that this agent has loaded. */
  readonly program: ProgramName | undefined;
}

export class KernelState {
  readonly maps: NodeMaps;
  readonly sys: Syscalls;
  /** The folder of the pins; undefined without a bpffs. */
  readonly #folder: string | undefined;
  readonly #programs: LoadedPrograms;
  readonly #programIds = new Map<number, ProgramName>();
  readonly #attachments: Attachments;

  /**
   * Takes over the pinned maps and programs and makes the missing ones. Throws OpError and SysError when this kernel or node can have no
   * fast path.
   */
  constructor(sys: Syscalls, netlink: Netlink, folder: string | undefined) {
    this.sys = sys;
    this.#folder = folder;
    const maps = new Map<string, BpfMap>();
    this.maps = maps;
    try {
      withMapRights(sys, () => this.#openMaps(maps));
      this.#programs = openPrograms(sys, folder, maps) ?? loadPrograms(sys, maps);
      for (const name of programNames) this.#programIds.set(programInfo(sys, this.#programs[name]).id, name);
      this.#attachments = hasTcx(sys) ? new TcxLinks(sys, netlink, folder) : new ClsactFilters(netlink);
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

  /**
   * Writes the programs' settings. The programs are stopped meanwhile, because they could read some old and some new settings. Throws
   * SysError.
   */
  configure(settings: ProgramSettings): void {
    if (hasSettings(this.sys, this.map('settings'), settings)) return;
    this.allow(0);
    writeSettings(this.sys, this.map('settings'), settings);
  }

  /** Pins the programs, so that a process with fewer rights may use them. Throws SysError. */
  pinPrograms(): void {
    if (this.#folder !== undefined) pinPrograms(this.sys, this.#folder, this.#programs);
  }

  /** The devices that have one of our programs. Throws OpError. */
  attached(): Attached[] {
    return [...this.#attachments.list()].map(([ifindex, id]) => ({ ifindex, program: this.#programIds.get(id) }));
  }

  /** Attaches a program to a device, or replaces the one that is there. Throws OpError. */
  attach(ifindex: number, name: ProgramName): void {
    this.#attachments.attach(ifindex, this.#programs[name]);
  }

  /** Throws OpError. */
  detach(ifindex: number): void {
    this.#attachments.detach(ifindex);
  }

  /** The number of programs of others for packets that arrive at a device. Throws OpError. */
  foreignPrograms(ifindex: number): number {
    return this.#attachments.foreign(ifindex);
  }

  /** Lets the programs redirect for this long from now on; 0 stops them at once. Throws SysError. */
  allow(milliseconds: number): void {
    allowFor(this.sys, this.map('state'), milliseconds);
  }

  /** Closes every descriptor. Pinned programs and filters stay at work. */
  close(): void {
    this.#attachments?.close();
    for (const fd of Object.values(this.#programs ?? {})) closeFd(this.sys, fd);
    for (const { fd } of this.maps.values()) closeFd(this.sys, fd);
  }

  /** Another version may have made maps of another layout. They are useless, and so are the programs that use them. */
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
}
