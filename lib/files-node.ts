// Files and folders whose paths somebody configured, for Node: a path may name anything, and none may keep the agent
// waiting. Node's own ways do: reading a pipe waits for its other end, /dev/zero is read for ever, and making folders
// below /proc, which answers ENOENT to mkdir(2) itself, is tried again without end.

import { constants, mkdirSync, statSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { OpError } from './errors.ts';
import { nodeErrorCode } from './node-error-node.ts';

const CHUNK_BYTES = 32 * 1024;

/** The bytes of a regular file. Rejects with Node's error, or OpError when it is no such file or longer than that. */
export async function readRegularFile(path: string, maxBytes: number): Promise<Buffer> {
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    if (!(await file.stat()).isFile()) throw refused(path, 'no regular file');
    const bytes = await readAtMost(file, maxBytes + 1);
    if (bytes.length > maxBytes) throw refused(path, `longer than ${maxBytes} bytes`);
    return bytes;
  } finally {
    await file.close();
  }
}

/** To the end, whatever size the file claims to have: those of /proc claim none. */
async function readAtMost(file: FileHandle, maxBytes: number): Promise<Buffer> {
  const parts: Buffer[] = [];
  let length = 0;
  while (length < maxBytes) {
    const part = Buffer.alloc(Math.min(CHUNK_BYTES, maxBytes - length));
    const { bytesRead } = await file.read(part);
    if (bytesRead === 0) break;
    length += bytesRead;
    parts.push(part.subarray(0, bytesRead));
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
  // What is missing is above; where nothing is above, or that was no help, the second try says so.
  if (above !== path) makeFolders(above);
  mkdirSync(path, 0o755);
}

/** False when a folder above it is missing. */
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
