// The directory of lease files: reads all of them, hostile ones included, and replaces one atomically. `<node>.json` is a lease.
// `.<node>.since` marks when it was first written: every change makes a new lease file, but the mark stays the same file.
// Other names that start with a dot, and other endings, are ignored.

import { closeSync, constants, promises as files, fstatSync, lstatSync, openSync, readSync, type Stats } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { breathe } from '../../lib/clock-node.ts';
import { ConfigError, errorText } from '../../lib/errors.ts';
import { makeFolders } from '../../lib/files-node.ts';
import { nodeErrorCode } from '../../lib/node-error-node.ts';
import { isNodeName } from '../../lib/node-name.ts';
import { decodeUtf8 } from '../../lib/utf8-node.ts';
import type { PeerProblem } from '../health/peer-problem.ts';
import { MAX_LEASE_BYTES, parseLeaseFile, renderLeaseFile } from './lease-file.ts';
import type { Lease, LeaseSnapshot } from './manager.ts';

const suffix = '.json';
const sinceSuffix = '.since';
/** After this many files (a few milliseconds) other work gets its turn. */
const FILES_AT_ONCE = 64;
/** Two changes within one tick of the file system's clock look like one. So a file younger than this is read again. */
const SETTLED_MS = 100;

export function leaseFileName(nodeName: string): string {
  return nodeName + suffix;
}

/** The mark beside a lease. Its time of creation is that of the lease; its contents mean nothing. */
function sinceFileName(nodeName: string): string {
  return `.${nodeName}${sinceSuffix}`;
}

/** All files a node has in the directory, given the path of its lease file. */
export function filesOfLease(leaseFile: string): readonly string[] {
  const node = basename(leaseFile, suffix);
  return [leaseFile, join(dirname(leaseFile), sinceFileName(node))];
}

/** Reads a directory once. Rejects as `LeaseDir.read` does. */
export function readLeaseDir(dir: string): Promise<LeaseSnapshot> {
  return new LeaseDir(dir).read();
}

/** The contents of a file, and the values that show whether it has changed since. */
interface Entry {
  readonly inode: number;
  readonly changedMs: number;
  readonly bytes: number;
  readonly settled: boolean;
  readonly created: string;
  readonly lease?: Lease;
  readonly problem?: PeerProblem;
}

/** Reads a directory again and again. It always lists all files, but opens only changed ones. */
export class LeaseDir {
  readonly #dir: string;
  readonly #ownKey: string | undefined;
  readonly #buffer = Buffer.allocUnsafeSlow(MAX_LEASE_BYTES + 1);
  #entries: ReadonlyMap<string, Entry> = new Map();
  #snapshot: LeaseSnapshot | undefined;
  /** Changes when another directory has taken the name. */
  #identity = '';
  /** When a name was last made, removed or replaced before the last reading of all files; NaN when that was too recent to be sure. */
  #namesChangedMs = Number.NaN;
  #reading: Promise<unknown> = Promise.resolve();

  /** `ownKey` is the name of this node; every snapshot contains it. */
  constructor(dir: string, ownKey?: string) {
    this.#dir = dir;
    this.#ownKey = ownKey;
  }

  /**
   * Returns every lease by node name, and a problem for every file that is no lease; the same object as before when nothing
   * changed. Rejects when the directory cannot be read: an empty result would remove all peers.
   * With `changed`, other known files are not checked, because checking thousands of files takes a while.
   */
  read(changed?: ReadonlySet<string>): Promise<LeaseSnapshot> {
    // Only one at a time: otherwise an older read could end after a newer one.
    const reading = this.#reading.then(() => this.#readAll(changed));
    this.#reading = reading.catch(() => undefined);
    return reading;
  }

  async #readAll(changed: ReadonlySet<string> | undefined): Promise<LeaseSnapshot> {
    const { ino, birthtimeMs, mtimeMs } = await files.stat(this.#dir);
    const namesChangedMs = Date.now() - mtimeMs > SETTLED_MS ? mtimeMs : Number.NaN;
    const identity = `${ino} ${birthtimeMs}`;
    const isSame = identity === this.#identity;
    const only = isSame ? changed : undefined;
    const hasMarks = isSame && namesChangedMs === this.#namesChangedMs;
    const names = (await files.readdir(this.#dir))
      .filter((name) => name.endsWith(suffix) && !name.startsWith('.'))
      .sort();
    const entries = new Map<string, Entry>();
    let different = false;
    let looked = 0;
    for (const name of names) {
      const before = this.#entries.get(name);
      if (only !== undefined && before?.settled === true && !only.has(name)) {
        entries.set(name, before);
        continue;
      }
      const entry = this.#look(name, before, hasMarks);
      if (entry !== undefined) entries.set(name, entry);
      different ||= entry?.lease !== before?.lease || entry?.problem?.reason !== before?.problem?.reason;
      // One buffer for all files and no promise per file: thousands of them cost seconds, and memory that is never freed.
      if (++looked % FILES_AT_ONCE === 0) await breathe();
    }
    different ||= entries.size !== this.#entries.size;
    this.#identity = identity;
    if (only === undefined) this.#namesChangedMs = namesChangedMs;
    this.#entries = entries;
    if (different || this.#snapshot === undefined) this.#snapshot = snapshotOf(entries, this.#ownKey);
    return this.#snapshot;
  }

  /** Undefined when the file has gone meanwhile. With `hasMarks` no mark has been replaced since the last time. */
  #look(name: string, before: Entry | undefined, hasMarks: boolean): Entry | undefined {
    const path = join(this.#dir, name);
    // lstat comes before reading, so that a change in between is noticed the next time.
    const stat = lstatSync(path, { throwIfNoEntry: false });
    if (stat === undefined) return undefined;
    const known = before?.settled === true && isUnchanged(stat, before) ? before : undefined;
    // Half of what thousands of unchanged files cost would be their marks.
    if (known !== undefined && hasMarks) return known;
    const node = name.slice(0, -suffix.length);
    const created = createdText(this.#since(node) ?? stat);
    if (known?.created === created) return known;
    const { ino: inode, ctimeMs: changedMs, size: bytes } = stat;
    const seen = { inode, changedMs, bytes, created, settled: Date.now() - changedMs > SETTLED_MS };
    try {
      if (!isNodeName(node)) throw new ConfigError(name.slice(0, 64), '', 'the file name is no node name');
      const text = this.#text(path, name, stat);
      if (text === undefined) return undefined;
      const lease = { ...parseLeaseFile(name, text), created };
      return { ...seen, lease: before?.lease !== undefined && isEqual(lease, before.lease) ? before.lease : lease };
    } catch (error) {
      return { ...seen, problem: { key: node.slice(0, 64), reason: errorText(error) } };
    }
  }

  /** When the node first took its lease, even if the lease file is gone; undefined when there is no mark. */
  createdOf(node: string): string | undefined {
    const stat = this.#since(node);
    return stat && createdText(stat);
  }

  /** The mark, or undefined when there is none. A file with a second hard link is no mark of its own. */
  #since(node: string): Stats | undefined {
    if (!isNodeName(node)) return undefined;
    const stat = lstatSync(join(this.#dir, sinceFileName(node)), { throwIfNoEntry: false });
    return stat?.isFile() === true && stat.nlink === 1 ? stat : undefined;
  }

  /** The text of a regular file of bounded size; undefined when it has gone meanwhile. */
  #text(path: string, name: string, stat: Stats): string | undefined {
    if (stat.isSymbolicLink()) throw new ConfigError(name, '', 'is a symbolic link, expected a regular file');
    if (!stat.isFile()) throw new ConfigError(name, '', 'is not a regular file');
    const file = openIfPresent(path);
    if (file === undefined) return undefined;
    try {
      // Another file may have taken the name since lstat.
      if (!fstatSync(file).isFile()) throw new ConfigError(name, '', 'is not a regular file');
      const length = fill(file, this.#buffer);
      if (length > MAX_LEASE_BYTES) throw new ConfigError(name, '', `is larger than ${MAX_LEASE_BYTES} bytes`);
      return decodeUtf8(name, this.#buffer.subarray(0, length));
    } finally {
      closeSync(file);
    }
  }
}

function isUnchanged({ ino, ctimeMs, size }: Stats, { inode, changedMs, bytes }: Entry): boolean {
  return ino === inode && ctimeMs === changedMs && size === bytes;
}

/** Microseconds, padded so that they sort as text. Where the file system has no time of creation, that of the last change. */
function createdText({ birthtimeMs, ctimeMs }: Stats): string {
  const createdMs = birthtimeMs > 0 ? birthtimeMs : ctimeMs;
  return String(Math.round(createdMs * 1000)).padStart(20, '0');
}

function isEqual(a: Lease, b: Lease): boolean {
  return a.created === b.created && renderLeaseFile(a) === renderLeaseFile(b);
}

function snapshotOf(entries: ReadonlyMap<string, Entry>, ownKey: string | undefined): LeaseSnapshot {
  const leases = new Map<string, Lease>();
  const problems: PeerProblem[] = [];
  for (const [name, { lease, problem }] of entries) {
    if (lease !== undefined) leases.set(name.slice(0, -suffix.length), lease);
    if (problem !== undefined) problems.push(problem);
  }
  return { leases, problems, ...(ownKey !== undefined && { ownKey }) };
}

function openIfPresent(path: string): number | undefined {
  try {
    // These flags do not follow a link and do not wait for the other end of a pipe.
    return openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (nodeErrorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** Reads until the end of the file or of the buffer; returns the number of bytes. */
function fill(file: number, buffer: Uint8Array): number {
  let length = 0;
  while (length < buffer.length) {
    const read = readSync(file, buffer, length, buffer.length - length, null);
    if (read === 0) break;
    length += read;
  }
  return length;
}

/** Writes the node's file. A reader sees the old or the new contents, even after a power loss. Makes the directory. */
export async function writeLeaseFile(dir: string, nodeName: string, text: string): Promise<void> {
  makeFolders(dir);
  await markSince(join(dir, leaseFileName(nodeName)), join(dir, sinceFileName(nodeName)));
  const temporary = join(dir, `.${nodeName}.tmp`);
  // A file of this name is ours from before a crash, or a trap such as a link. Either way it must not be written to.
  await files.rm(temporary, { force: true, recursive: true });
  const file = await files.open(temporary, 'wx', 0o644);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await files.rename(temporary, join(dir, leaseFileName(nodeName)));
}

/**
 * Makes the mark before the lease is written, so that no lease is seen without one. A valid mark stays. If there is a lease
 * without a mark, a hard link makes the old lease file the mark, so that its time of creation is kept.
 */
async function markSince(lease: string, mark: string): Promise<void> {
  const [leaseStat, markStat] = [lease, mark].map((path) => lstatSync(path, { throwIfNoEntry: false }));
  if (markStat?.isFile() === true && (markStat.nlink === 1 || markStat.ino === leaseStat?.ino)) return;
  await files.rm(mark, { force: true, recursive: true });
  if (leaseStat?.isFile() === true && leaseStat.nlink === 1) await files.link(lease, mark);
  else await (await files.open(mark, 'wx', 0o644)).close();
}

/** Removes the node's files; idempotent. */
export async function removeLeaseFile(dir: string, nodeName: string): Promise<void> {
  await files.rm(join(dir, leaseFileName(nodeName)), { force: true });
  await files.rm(join(dir, sinceFileName(nodeName)), { force: true });
}
