// The delegate's configuration kept from ADD to DEL, one file an attachment: `<container>:<interface>`,
// removed only after the delegate's DEL succeeded. flannel's own plugin names its file by the container
// alone; that name is a second link to ours, for a downgrade with pods running, and files that plugin left
// are honoured.

import { isJsonObject, type JsonObject, parseJson } from '../json.ts';
import { type FileStatus, listDir, removeFile, S_IFDIR, S_IFMT, statPath } from '../sys/file.ts';
import { readForeignText } from '../sys/foreign-file.ts';
import type { Syscalls } from '../sys/syscalls.ts';

/** Most of such a file that is read. */
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

/** Returns what was saved: undefined when nothing was, 'corrupt' when it cannot be read. */
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
 * Removes an attachment's file and our link to it under flannel's name. Without a file of our own, what has
 * flannel's name is what a DEL was working from, and goes too unless told to keep it. A folder of either name is
 * nothing an ADD saved and stays: a DEL that failed because of it would be repeated for ever. Throws SysError.
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

/** Every attachment of a network with a file of ours. */
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
