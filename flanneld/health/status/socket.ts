// The Unix socket beside subnet.env that `flanneld status` connects to. Only the user that runs the agent may connect (unix(7)).

import { chmodSync, rmSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { OpError } from '../../../lib/errors.ts';
import { makeFolders } from '../../../lib/files-node.ts';
import { nodeErrorCode } from '../../../lib/node-error-node.ts';
import { type Actions, type HttpServer, type Pages, serveHttp } from '../http-server.ts';

const MODE = 0o600;
/** sun_path has 108 bytes; the last one is the terminating zero. */
const MAX_PATH_BYTES = 107;
const PROBE_MS = 1000;

/** The socket of the agent that writes `subnetFile`. Two agents on one node write two such files, so they have two sockets. */
export function socketPathFor(subnetFile: string): string {
  return `${subnetFile}.sock`;
}

/**
 * Serves `pages` and `actions` at `path`, which only its owner may use. Replaces the socket of a killed agent. Rejects with OpError when
 * another agent answers there, or the path cannot be used.
 */
export async function serveSocket(path: string, pages: Pages, actions: Actions = new Map()): Promise<HttpServer> {
  if (Buffer.byteLength(path) > MAX_PATH_BYTES) throw failure(path, 'too long', `${MAX_PATH_BYTES} bytes at most`);
  try {
    makeFolders(dirname(path));
    await removeStale(path);
  } catch (error) {
    if (error instanceof OpError) throw error;
    throw failure(path, nodeErrorCode(error) ?? 'error', undefined, error);
  }
  // serveHttp binds within the call, so the umask applies and the socket never exists with a wider mode.
  const umask = process.umask(0o777 & ~MODE);
  let server: Promise<HttpServer>;
  try {
    server = serveHttp({ path }, pages, actions);
  } finally {
    process.umask(umask);
  }
  const listening = await server;
  chmodSync(path, MODE);
  return listening;
}

async function removeStale(path: string): Promise<void> {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return;
  if (!stat.isSocket()) throw failure(path, 'EEXIST', 'is no socket');
  if (await answers(path)) throw failure(path, 'EADDRINUSE', 'another agent with this --subnet-file is running');
  rmSync(path, { force: true });
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const end = (answer: boolean) => (): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(PROBE_MS, end(true));
    socket.once('connect', end(true));
    socket.once('error', end(false));
  });
}

function failure(object: string, code: string, detail?: string, cause?: unknown): OpError {
  return new OpError({ subsystem: 'status', op: 'listen on', object, code, ...(detail && { detail }), cause });
}
