// Programs attached by tcx links, from Linux 6.6 on. A link is pinned where there is a bpffs; else it ends with the agent.

import { attachIngress, linkInfo, listPrograms, replaceLinkProgram } from '../../lib/bpf/bpf-link.ts';
import { openPinned, pinObject } from '../../lib/bpf/pin.ts';
import type { Netlink } from '../../lib/netlink/connection.ts';
import { EINVAL } from '../../lib/sys/errno.ts';
import { closeFd, listDir, removeFile } from '../../lib/sys/file.ts';
import { SysError } from '../../lib/sys/sys-error.ts';
import type { Syscalls } from '../../lib/sys/syscalls.ts';
import type { Attachments } from './attachments.ts';
import { foreignFilters } from './clsact-filters.ts';
import { LINK_PIN } from './pins.ts';

const LOOPBACK = 1;

/** Whether this kernel has tcx. Throws SysError. */
export function hasTcx(sys: Syscalls): boolean {
  try {
    listPrograms(sys, LOOPBACK, 'ingress');
    return true;
  } catch (error) {
    if (error instanceof SysError && error.errno === EINVAL) return false;
    throw error;
  }
}

export class TcxLinks implements Attachments {
  readonly #sys: Syscalls;
  readonly #netlink: Netlink;
  readonly #folder: string | undefined;
  /** Descriptors by the index of their device. */
  readonly #links = new Map<number, number>();

  constructor(sys: Syscalls, netlink: Netlink, folder: string | undefined) {
    this.#sys = sys;
    this.#netlink = netlink;
    this.#folder = folder;
    for (const pin of folder === undefined ? [] : (listDir(sys, folder) ?? [])) {
      const ifindex = Number(LINK_PIN.exec(pin)?.[1]);
      const fd = ifindex > 0 ? openPinned(sys, `${folder}/${pin}`) : undefined;
      if (fd !== undefined) this.#links.set(ifindex, fd);
    }
  }

  list(): ReadonlyMap<number, number> {
    const found = new Map<number, number>();
    for (const [ifindex, fd] of this.#links) {
      const info = linkInfo(this.#sys, fd);
      if (info === undefined || info.ifindex !== ifindex) this.detach(ifindex);
      else found.set(ifindex, info.programId);
    }
    return found;
  }

  attach(ifindex: number, program: number): void {
    const link = this.#links.get(ifindex);
    if (link !== undefined) {
      replaceLinkProgram(this.#sys, link, program);
      return;
    }
    const made = attachIngress(this.#sys, program, ifindex);
    this.#links.set(ifindex, made);
    if (this.#folder !== undefined) pinObject(this.#sys, made, `${this.#folder}/link_${ifindex}`);
  }

  detach(ifindex: number): void {
    if (this.#folder !== undefined) removeFile(this.#sys, `${this.#folder}/link_${ifindex}`);
    const link = this.#links.get(ifindex);
    if (link !== undefined) closeFd(this.#sys, link);
    this.#links.delete(ifindex);
  }

  foreign(ifindex: number): number {
    const arriving = listPrograms(this.#sys, ifindex, 'ingress').length - (this.#links.has(ifindex) ? 1 : 0);
    const leaving = listPrograms(this.#sys, ifindex, 'egress').length;
    return Math.max(0, arriving) + leaving + foreignFilters(this.#netlink, ifindex);
  }

  close(): void {
    for (const fd of this.#links.values()) closeFd(this.#sys, fd);
    this.#links.clear();
  }
}
