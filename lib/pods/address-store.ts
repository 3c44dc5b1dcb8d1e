// The address files of one network, which the Go host-local may use at the same time: `<ip>` contains `<container>\r\n<interface>`, and
// creating it is the allocation; `last_reserved_ip.<set>`; `lock`. Besides them there is an index of our own, so that neither ADD nor DEL
// reads every file: the n-th address file of an attachment has the second name `.<container>:<interface>:<n>`, and the folder shows which
// address has the same inode. A second name needs no inode; ext4 would search for a free one among all that were deleted recently. The Go
// plugin reads the owner's text under either name and removes both. Its own address files have no second name and are found by reading all
// files.

import { formatIp, type Ip, parseIp, sameIp } from '../ip.ts';
import { ENOENT, ENOSPC, EOPNOTSUPP, EPERM } from '../sys/errno.ts';
import {
  closeFd,
  createLockedFile,
  isLocked,
  linkFile,
  listDir,
  makeDirs,
  namesOfInode,
  removeFile,
  statPath,
  withLock,
  withLockIfFree,
  writeAll,
} from '../sys/file.ts';
import { openInPlace, readForeignText } from '../sys/foreign-file.ts';
import { check, SysError } from '../sys/sys-error.ts';
import type { Syscalls } from '../sys/syscalls.ts';

/** The owner of an address: one attachment of the network. */
export interface Owner {
  readonly containerId: string;
  readonly ifname: string;
}

/** One address file and its text. */
export interface Holding {
  readonly ip: Ip;
  readonly owner: string;
}

/** The most that is read of an address file, in bytes: the length of a container id is not limited. */
const FILE_LIMIT_BYTES = 64 * 1024;
const NAME_LIMIT_BYTES = 255;
/** The owner of an address whose file cannot be read. No container has this name, so the address is never released. */
export const UNKNOWN_OWNER = 'unreadable file';

/** An address file's text for its owner. */
function ownerText(owner: Owner): string {
  return `${owner.containerId.trim()}\r\n${owner.ifname}`;
}

/** Returns the owner that a file's text names. The interface is '' in very old files; both are '' when the file names nobody. */
export function ownerParts(text: string): Owner {
  const [containerId = '', ifname = ''] = text.split('\r\n');
  return { containerId, ifname };
}

function parseIpName(name: string): Ip | undefined {
  const first = name.charCodeAt(0);
  if (first === 46 || first === 108) return undefined; // a name with '.' is an index entry, one with 'l' is lock or last_reserved_ip
  try {
    return parseIp(name);
  } catch {
    return undefined;
  }
}

/** Takes an open file that stays locked as long as the ADD that made it runs. */
export type HoldLock = (fd: number) => void;

/**
 * Runs `body` while it holds the network's lock; makes the folder if it is missing. `holdLock` receives the locked files of reserved
 * addresses: these locks show garbage collection that an ADD is running. Throws SysError.
 */
export function withStore<T>(
  sys: Syscalls,
  folder: string,
  body: (store: AddressStore) => T,
  holdLock: HoldLock = (fd) => closeFd(sys, fd),
): T {
  const locked = (): T => withLock(sys, `${folder}/lock`, 0o750, () => body(new AddressStore(sys, folder, holdLock)));
  try {
    return locked();
  } catch (thrown) {
    if (!(thrown instanceof SysError) || thrown.errno !== ENOENT || thrown.object !== `${folder}/lock`) throw thrown;
  }
  makeDirs(sys, folder, 0o755);
  return locked();
}

/** Like `withStore`, but returns undefined at once when another process holds the lock. The folder must exist. Throws SysError. */
export function withStoreIfFree<T>(
  sys: Syscalls,
  folder: string,
  body: (store: AddressStore) => T,
): { readonly value: T } | undefined {
  return withLockIfFree(sys, `${folder}/lock`, 0o750, () => body(new AddressStore(sys, folder)));
}

/** The address files of a folder. The caller holds the lock, or only reads. */
export class AddressStore {
  readonly sys: Syscalls;
  readonly folder: string;
  private readonly holdLock: HoldLock;

  constructor(sys: Syscalls, folder: string, holdLock: HoldLock = (fd) => closeFd(sys, fd)) {
    this.sys = sys;
    this.folder = folder;
    this.holdLock = holdLock;
  }

  /** Allocates an address. Returns false when it is not free. */
  reserve(ip: Ip, owner: Owner): boolean {
    const name = formatIp(ip);
    const fd = createLockedFile(this.sys, `${this.folder}/${name}`, ownerText(owner), 0o600);
    if (fd === undefined) return false;
    try {
      this.index(name, owner);
    } catch (thrown) {
      closeFd(this.sys, fd);
      removeFile(this.sys, `${this.folder}/${name}`);
      throw thrown;
    }
    this.holdLock(fd);
    return true;
  }

  /** Whether the ADD that reserved an address is still running. */
  isBeingAdded(ip: Ip): boolean {
    return isLocked(this.sys, this.pathOf(ip));
  }

  /** Returns the address that was allocated last from a set; undefined when unknown. */
  lastReserved(set: number): { readonly ip: Ip | undefined; readonly lengthBytes: number } {
    const read = readForeignText(this.sys, this.lastPath(set), FILE_LIMIT_BYTES);
    if (read === 'unreadable') return { ip: undefined, lengthBytes: FILE_LIMIT_BYTES };
    return { ip: parseIpName(read?.text ?? ''), lengthBytes: read?.text.length ?? 0 };
  }

  /** Records the address that was allocated last. `oldBytes` is the present size of the file. */
  setLastReserved(set: number, ip: Ip, oldBytes: number): void {
    const path = this.lastPath(set);
    const fd = openInPlace(this.sys, path, 0o600);
    try {
      // O_TRUNC is not used, because ext4 writes a file that was truncated to the disk when it is closed, which takes 0.25 ms.
      const bytes = this.sys.arena.encode(formatIp(ip));
      writeAll(this.sys, fd, bytes, path);
      if (bytes.length < oldBytes) check(this.sys.call(this.sys.nr.ftruncate, fd, bytes.length), 'truncate', path);
    } finally {
      closeFd(this.sys, fd);
    }
  }

  /** The addresses of an attachment, as far as the index shows them. */
  indexed(owner: Owner): Ip[] {
    const held: Ip[] = [];
    for (const { inode } of this.entries(owner)) {
      const ip = this.addressOf(inode, owner);
      if (ip !== undefined) held.push(ip);
    }
    return held;
  }

  /** Returns every address file with its text. It reads all files. */
  holdings(): Holding[] {
    const all: Holding[] = [];
    for (const name of listDir(this.sys, this.folder) ?? []) {
      const ip = parseIpName(name);
      if (ip !== undefined) all.push({ ip, owner: (this.text(name) ?? '').trim() });
    }
    return all;
  }

  /**
   * Releases all addresses of an attachment; to have none is a success. An ADD of the attachment that was killed may have left a file that
   * names nobody. `deadOf` chooses, among such addresses, those that no pod uses.
   */
  release(owner: Owner, deadOf: (nobodys: readonly Ip[]) => readonly Ip[]): void {
    if (this.releaseIndexed(owner)) return;
    const holdings = this.holdings();
    const exact = holdings.filter((holding) => holding.owner === ownerText(owner));
    // Very old files name the container only.
    const found = exact.length > 0 ? exact : holdings.filter((holding) => holding.owner === owner.containerId.trim());
    for (const { ip } of found) this.remove(ip);
    const nobodys = holdings.filter((holding) => holding.owner === '').map(({ ip }) => ip);
    if (nobodys.length > 0) for (const ip of deadOf(nobodys)) this.remove(ip);
  }

  /** Whether an attachment holds any address. */
  holds(owner: Owner): boolean {
    if (this.indexed(owner).length > 0) return true;
    const wanted = [ownerText(owner), owner.containerId.trim()];
    return this.holdings().some((holding) => wanted.includes(holding.owner));
  }

  /** Releases these addresses of an attachment. */
  releaseAddresses(owner: Owner, ips: readonly Ip[]): void {
    for (const { path, inode } of this.entries(owner)) {
      const held = this.addressOf(inode, owner);
      if (held !== undefined && ips.some((ip) => sameIp(ip, held))) removeFile(this.sys, path);
    }
    for (const ip of ips) this.remove(ip);
  }

  /** Removes an address file. */
  remove(ip: Ip): void {
    removeFile(this.sys, this.pathOf(ip));
  }

  /** The file of an address. */
  pathOf(ip: Ip): string {
    return `${this.folder}/${formatIp(ip)}`;
  }

  private releaseIndexed(owner: Owner): boolean {
    let found = false;
    for (const { path, inode } of this.entries(owner)) {
      const ip = this.addressOf(inode, owner);
      if (ip !== undefined) {
        this.remove(ip);
        found = true;
      }
      removeFile(this.sys, path);
    }
    return found;
  }

  private lastPath(set: number): string {
    return `${this.folder}/last_reserved_ip.${set}`;
  }

  private text(name: string): string | undefined {
    const read = readForeignText(this.sys, `${this.folder}/${name}`, FILE_LIMIT_BYTES);
    return read === 'unreadable' ? UNKNOWN_OWNER : read?.text.trim();
  }

  /** The path of an attachment's n-th entry; undefined when its name would be too long, and then there is no index. */
  private entryPath(owner: Owner, n: number): string | undefined {
    const name = `.${owner.containerId}:${owner.ifname}:${n}`;
    // Only the name of the interface may have characters of several bytes. It has at most 15 bytes.
    return name.length + 15 > NAME_LIMIT_BYTES ? undefined : `${this.folder}/${name}`;
  }

  private entries(owner: Owner): { readonly path: string; readonly inode: number }[] {
    const entries: { path: string; inode: number }[] = [];
    for (let n = 0; ; n++) {
      const path = this.entryPath(owner, n);
      const status = path === undefined ? undefined : statPath(this.sys, path);
      if (path === undefined || status === undefined) return entries;
      entries.push({ path, inode: status.inode });
    }
  }

  /** The attachment's address whose file has that inode; undefined when somebody has removed the address file. */
  private addressOf(inode: number, owner: Owner): Ip | undefined {
    for (const name of namesOfInode(this.sys, this.folder, inode)) {
      const ip = parseIpName(name);
      if (ip !== undefined && this.text(name) === ownerText(owner)) return ip;
    }
    return undefined;
  }

  private index(name: string, owner: Owner): void {
    for (let n = 0; ; n++) {
      const path = this.entryPath(owner, n);
      if (path === undefined || this.addEntry(name, path)) return;
      const inode = statPath(this.sys, path)?.inode;
      if (inode !== undefined && this.addressOf(inode, owner) !== undefined) continue;
      removeFile(this.sys, path);
      if (this.addEntry(name, path)) return;
      throw new SysError('link', path, ENOSPC);
    }
  }

  /**
   * Returns false when an entry with that path exists. On a file system without hard links there is no index; then operations only take
   * longer.
   */
  private addEntry(name: string, path: string): boolean {
    try {
      return linkFile(this.sys, `${this.folder}/${name}`, path);
    } catch (thrown) {
      if (thrown instanceof SysError && (thrown.errno === EPERM || thrown.errno === EOPNOTSUPP)) return true;
      throw thrown;
    }
  }
}
