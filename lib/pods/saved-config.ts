// The delegate's configuration, kept from ADD to DEL in one file for each attachment: `<container>:<interface>`. It is removed only after
// the delegate's DEL has succeeded. flannel's own plugin names its file by the container alone. That name is a second link to our file, for
// a downgrade while pods run, and files that flannel's plugin has left are used.

import { isJsonObject, type JsonObject, parseJson } from '../json.ts';
import { type FileStatus, listDir, removeFile, S_IFDIR, S_IFMT, statPath } from '../sys/file.ts';
import { readForeignText } from '../sys/foreign-file.ts';
import type { Syscalls } from '../sys/syscalls.ts';

/** The most that is read of such a file. */
export const STATE_LIMIT_BYTES = 4 * 1024 * 1024;

export interface AttachmentId {
  readonly containerId: string;
  readonly ifname: string;
}

/** Our file of an attachment. */
export function keyedPath(folder: string, id: AttachmentId): string {
  return `${folder}/${id.containerId}:${id.ifname}`;
}

/** The file of a container, as flannel's own plugin names it. */
export function flannelPath(folder: string, id: AttachmentId): string {
  return `${folder}/${id.containerId}`;
}

/** Returns the saved configuration: undefined when there is none, 'corrupt' when it cannot be read. */
export function loadState(sys: Syscalls, folder: string, id: AttachmentId): JsonObject | 'corrupt' | undefined {
  const read =
    readForeignText(sys, keyedPath(folder, id), STATE_LIMIT_BYTES) ??
    readForeignText(sys, flannelPath(folder, id), STATE_LIMIT_BYTES);
  return typeof read === 'object' ? parseState(read.text) : read === undefined ? undefined : 'corrupt';
}

function parseState(text: string): JsonObject | 'corrupt' {
  try {
    const value = parseJson(text);
    return isJsonObject(value) ? value : 'corrupt';
  } catch {
    return 'corrupt';
  }
}

/**
 * Removes an attachment's file and our link to it under flannel's name. If there is no file of our own, the DEL used the file under
 * flannel's name, and this is removed as well unless told otherwise. A folder under either name was not made by an ADD and stays: a DEL
 * that fails because of it would be repeated for ever. Throws SysError.
 */
export function removeState(
  sys: Syscalls,
  folder: string,
  id: AttachmentId,
  others: 'keepOthers' | 'all' = 'all',
): void {
  const own = statFile(sys, keyedPath(folder, id));
  const named = statFile(sys, flannelPath(folder, id));
  // A file with another inode belongs to another interface.
  const ours = own === undefined ? others === 'all' : own.inode === named?.inode;
  if (named !== undefined && ours) removeFile(sys, flannelPath(folder, id));
  if (own !== undefined) removeFile(sys, keyedPath(folder, id));
}

function statFile(sys: Syscalls, path: string): FileStatus | undefined {
  const status = statPath(sys, path);
  return status !== undefined && (status.mode & S_IFMT) === S_IFDIR ? undefined : status;
}

/** All attachments of a network that have a file of ours. */
export function listStates(sys: Syscalls, folder: string, network: string): AttachmentId[] {
  const ids: AttachmentId[] = [];
  for (const name of listDir(sys, folder) ?? []) {
    const colon = name.indexOf(':');
    if (colon <= 0 || name.startsWith('.')) continue;
    const id = { containerId: name.slice(0, colon), ifname: name.slice(colon + 1) };
    const state = loadState(sys, folder, id);
    if (state !== undefined && state !== 'corrupt' && state.get('name') === network) ids.push(id);
  }
  return ids;
}
