// The directory of lease files: reading all of it, hostile files included, and replacing one file atomically.
// `<node>.json` is a lease; names that start with a dot, or end otherwise, are nobody's business.

import { constants } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ConfigError, errorText } from '../../lib/errors.ts';
import { nodeErrorCode } from '../node-error.ts';
import { isNodeName } from '../node-name.ts';
import { decodeUtf8 } from '../utf8.ts';
import { maxLeaseBytes, parseLeaseFile } from './lease-file.ts';
import type { Lease, LeaseSnapshot, PeerProblem } from './manager.ts';

const suffix = '.json';

export function leaseFileName(nodeName: string): string {
  return nodeName + suffix;
}

/**
 * Every lease in the directory by node name, and a problem for every file that is none. Rejects when the directory
 * itself cannot be read: that is not the same as "nobody is there", on which peers would be purged.
 */
export async function readLeaseDir(dir: string): Promise<LeaseSnapshot> {
  const names = (await readdir(dir)).filter((name) => name.endsWith(suffix) && !name.startsWith('.')).sort();
  const leases = new Map<string, Lease>();
  const problems: PeerProblem[] = [];
  for (const name of names) {
    const node = name.slice(0, -suffix.length);
    try {
      if (!isNodeName(node)) throw new ConfigError(name.slice(0, 64), '', 'the file name is no node name');
      const text = await readLeaseText(dir, name);
      if (text !== undefined) leases.set(node, parseLeaseFile(name, text));
    } catch (error) {
      problems.push({ key: node.slice(0, 64), reason: errorText(error) });
    }
  }
  return { leases, problems };
}

/** The text of a regular file of bounded size; undefined when it has gone meanwhile. */
async function readLeaseText(dir: string, name: string): Promise<string | undefined> {
  // Never follow a link, and never wait for the other end of a pipe.
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  let file: FileHandle;
  try {
    file = await open(join(dir, name), flags);
  } catch (error) {
    const code = nodeErrorCode(error);
    if (code === 'ENOENT') return undefined;
    if (code === 'ELOOP') throw new ConfigError(name, '', 'is a symbolic link, expected a regular file');
    throw error;
  }
  try {
    return await readBounded(file, name);
  } finally {
    await file.close();
  }
}

async function readBounded(file: FileHandle, name: string): Promise<string> {
  if (!(await file.stat()).isFile()) throw new ConfigError(name, '', 'is not a regular file');
  const buffer = Buffer.alloc(maxLeaseBytes + 1);
  let length = 0;
  while (length < buffer.length) {
    const { bytesRead } = await file.read(buffer, length, buffer.length - length);
    if (bytesRead === 0) break;
    length += bytesRead;
  }
  if (length > maxLeaseBytes) throw new ConfigError(name, '', `is larger than ${maxLeaseBytes} bytes`);
  return decodeUtf8(name, buffer.subarray(0, length));
}

/** Writes the node's file: a reader sees the old or the new content, also after a power loss. Makes the directory. */
export async function writeLeaseFile(dir: string, nodeName: string, text: string): Promise<void> {
  await mkdir(dir, { recursive: true, mode: 0o755 });
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

/** Removes the node's file; idempotent. */
export async function removeLeaseFile(dir: string, nodeName: string): Promise<void> {
  await rm(join(dir, leaseFileName(nodeName)), { force: true });
}
