// The directory of lease files: reading all of it, hostile files included, and replacing one file atomically.
// `<node>.json` is a lease, and `.<node>.since` tells when it was first written: the lease file is another one after every
// change, this one stays. Other names that start with a dot, or end otherwise, are nobody's business.

import { closeSync, constants, fstatSync, lstatSync, openSync, readSync, type Stats } from 'node:fs';
import { link, open, readdir, rename, rm, stat } from 'node:fs/promises';
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
/** Files looked at before other work gets its turn: a few milliseconds. */
const FILES_AT_ONCE = 64;
/** A file changed twice within the file system's clock tick looks unchanged: what is younger is read again. */
const SETTLED_MS = 100;

export function leaseFileName(nodeName: string): string {
  return nodeName + suffix;
}

/** The file beside a lease whose own time of creation is that of the lease; what it says means nothing. */
function sinceFileName(nodeName: string): string {
  return `.${nodeName}${sinceSuffix}`;
}

/** All that a node has in the directory, by the path of its lease file. */
export function filesOfLease(leaseFile: string): readonly string[] {
  const node = basename(leaseFile, suffix);
  return [leaseFile, join(dirname(leaseFile), sinceFileName(node))];
}

/** One look at a directory, for whoever does not look again. Rejects as `LeaseDir.read` does. */
export function readLeaseDir(dir: string): Promise<LeaseSnapshot> {
  return new LeaseDir(dir).read();
}

/** What a file said, and by what to see that it has not changed since. */
interface Entry {
  readonly inode: number;
  readonly changedMs: number;
  readonly bytes: number;
  readonly settled: boolean;
  readonly created: string;
  readonly lease?: Lease;
  readonly problem?: PeerProblem;
}

/** A directory looked at again and again: always all of it, but only files that changed are read. */
export class LeaseDir {
  readonly #dir: string;
  readonly #ownKey: string | undefined;
  readonly #buffer = Buffer.allocUnsafeSlow(MAX_LEASE_BYTES + 1);
  #entries: ReadonlyMap<string, Entry> = new Map();
  #snapshot: LeaseSnapshot | undefined;
  /** Tells the directory from another that takes its name. */
  #identity = '';
  #reading: Promise<unknown> = Promise.resolve();

  /** With `ownKey`, every snapshot tells whose lease is this node's. */
  constructor(dir: string, ownKey?: string) {
    this.#dir = dir;
    this.#ownKey = ownKey;
  }

  /**
   * Every lease in the directory by node name, and a problem for every file that is none; the same object as before
   * when nothing changed. Rejects when the directory itself cannot be read: that is not the same as "nobody is there",
   * on which peers would be purged.
   * With `changed`, files of other names are looked at only when they are new: thousands of looks take a while.
   */
  read(changed?: ReadonlySet<string>): Promise<LeaseSnapshot> {
    // One at a time: of two that overlap, the one that began first may end last.
    const reading = this.#reading.then(() => this.#readAll(changed));
    this.#reading = reading.catch(() => undefined);
    return reading;
  }

  async #readAll(changed: ReadonlySet<string> | undefined): Promise<LeaseSnapshot> {
    const { ino, birthtimeMs } = await stat(this.#dir);
    const identity = `${ino} ${birthtimeMs}`;
    const only = identity === this.#identity ? changed : undefined;
    const names = (await readdir(this.#dir)).filter((name) => name.endsWith(suffix) && !name.startsWith('.')).sort();
    const entries = new Map<string, Entry>();
    let different = false;
    let looked = 0;
    for (const name of names) {
      const before = this.#entries.get(name);
      if (only !== undefined && before?.settled === true && !only.has(name)) {
        entries.set(name, before);
        continue;
      }
      const entry = this.#look(name, before);
      if (entry !== undefined) entries.set(name, entry);
      different ||= entry?.lease !== before?.lease || entry?.problem?.reason !== before?.problem?.reason;
      // One buffer and no promise a file: thousands of either cost seconds, and memory that does not come back.
      if (++looked % FILES_AT_ONCE === 0) await breathe();
    }
    different ||= entries.size !== this.#entries.size;
    this.#identity = identity;
    this.#entries = entries;
    if (different || this.#snapshot === undefined) this.#snapshot = snapshotOf(entries, this.#ownKey);
    return this.#snapshot;
  }

  /** Undefined when the file has gone meanwhile. */
  #look(name: string, before: Entry | undefined): Entry | undefined {
    const path = join(this.#dir, name);
    // Looked at first, read second: a change in between is seen next time.
    const stat = lstatSync(path, { throwIfNoEntry: false });
    if (stat === undefined) return undefined;
    const node = name.slice(0, -suffix.length);
    const created = createdText(this.#since(node) ?? stat);
    if (before?.settled === true && before.created === created && isUnchanged(stat, before)) return before;
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

  /** When this node first took its lease, even while its file is gone; undefined when nothing tells. */
  createdOf(node: string): string | undefined {
    const stat = this.#since(node);
    return stat && createdText(stat);
  }

  /** Undefined for what is no such file. One with a second name is the lease itself still, or the mark of another node. */
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
      // It may be another by now.
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

/** In microseconds, with the digits it takes to sort as text. Some file systems do not know when a file was made. */
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
    // Never follow a link, and never wait for the other end of a pipe.
    return openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (nodeErrorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** Reads to the end of the file or of the buffer; returns how much. */
function fill(file: number, buffer: Uint8Array): number {
  let length = 0;
  while (length < buffer.length) {
    const read = readSync(file, buffer, length, buffer.length - length, null);
    if (read === 0) break;
    length += read;
  }
  return length;
}

/** Writes the node's file: a reader sees the old or the new content, also after a power loss. Makes the directory. */
export async function writeLeaseFile(dir: string, nodeName: string, text: string): Promise<void> {
  makeFolders(dir);
  await markSince(join(dir, leaseFileName(nodeName)), join(dir, sinceFileName(nodeName)));
  const temporary = join(dir, `.${nodeName}.tmp`);
  // What lies there is our own from before a crash, or a trap; in both cases not to be written through.
  await rm(temporary, { force: true, recursive: true });
  const file = await open(temporary, 'wx', 0o644);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, join(dir, leaseFileName(nodeName)));
}

/**
 * Before the lease is written, so that nobody sees one without it. What is there stays, but for what is no file of its own.
 * The mark of a lease that has none yet is that very file, which goes on as the mark when another takes its name.
 */
async function markSince(lease: string, mark: string): Promise<void> {
  const [leaseStat, markStat] = [lease, mark].map((path) => lstatSync(path, { throwIfNoEntry: false }));
  if (markStat?.isFile() === true && (markStat.nlink === 1 || markStat.ino === leaseStat?.ino)) return;
  await rm(mark, { force: true, recursive: true });
  if (leaseStat?.isFile() === true && leaseStat.nlink === 1) await link(lease, mark);
  else await (await open(mark, 'wx', 0o644)).close();
}

/** Removes the node's files; idempotent. */
export async function removeLeaseFile(dir: string, nodeName: string): Promise<void> {
  await rm(join(dir, leaseFileName(nodeName)), { force: true });
  await rm(join(dir, sinceFileName(nodeName)), { force: true });
}
