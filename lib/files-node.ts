// Reads and makes files and folders whose paths come from a configuration. Such a path may name anything, and it must not make the agent
// wait. Node's own functions would wait: reading a pipe waits for its writer, /dev/zero has no end, and making a folder below /proc is
// tried again for ever, because mkdir(2) itself fails with ENOENT there.

import { closeSync, constants, fstatSync, mkdirSync, openSync, readSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { OpError } from './errors.ts';
import { nodeErrorCode } from './node-error-node.ts';

const CHUNK_BYTES = 32 * 1024;

/**
 * Returns the bytes of a regular file. Throws Node's error, or an OpError when it is not a regular file or is longer than `maxBytes`.
 */
export function readRegularFile(path: string, maxBytes: number): Buffer {
  const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    if (!fstatSync(file).isFile()) throw refused(path, 'no regular file');
    const bytes = readAtMost(file, maxBytes + 1);
    if (bytes.length > maxBytes) throw refused(path, `longer than ${maxBytes} bytes`);
    return bytes;
  } finally {
    closeSync(file);
  }
}

/** Reads to the end, whatever size is reported: files in /proc have the size 0. */
function readAtMost(file: number, maxBytes: number): Buffer {
  const parts: Buffer[] = [];
  let length = 0;
  while (length < maxBytes) {
    const part = Buffer.alloc(Math.min(CHUNK_BYTES, maxBytes - length));
    const read = readSync(file, part);
    if (read === 0) break;
    length += read;
    parts.push(part.subarray(0, read));
  }
  return Buffer.concat(parts);
}

function refused(object: string, code: string): OpError {
  return new OpError({ subsystem: 'file', op: 'read', object, code });
}

/** Makes a folder (0755, less the umask) and every missing one above it. Throws Node's error. */
export function makeFolders(path: string): void {
  if (makeFolder(path)) return;
  const above = dirname(path);
  // The folder above is missing, so it is made first. When that did not help, the second try throws the error.
  if (above !== path) makeFolders(above);
  mkdirSync(path, 0o755);
}

/** Returns false when the folder above is missing. */
function makeFolder(path: string): boolean {
  try {
    mkdirSync(path, 0o755);
    return true;
  } catch (error) {
    if (nodeErrorCode(error) === 'ENOENT') return false;
    if (nodeErrorCode(error) === 'EEXIST' && statSync(path).isDirectory()) return true;
    throw error;
  }
}
