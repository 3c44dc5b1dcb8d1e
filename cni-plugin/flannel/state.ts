// The delegate's configuration kept from ADD to DEL, one file an attachment: `<container>:<interface>`,
// removed only after the delegate's DEL succeeded. flannel's own plugin names its file by the container
// alone; that name is a second link to ours, for a downgrade with pods running, and files that plugin left
// are honoured. It is written before anything is made, so an ADD that was killed halfway left nothing that
// its half would be needed for; a temporary file would be left for good.
// Differs from flannel: D28 (a second interface of a container overwrote the first one's file), D29 (the
// file went although the delegate's DEL had failed).

import { isJsonObject, type JsonObject, parseJson } from '../../lib/json.ts';
import { EEXIST, ENOENT } from '../../lib/sys/errno.ts';
import {
  AT_FDCWD,
  createFile,
  listDir,
  makeDirs,
  readTextIfPresent,
  removeFile,
  statPath,
} from '../../lib/sys/file.ts';
import { readForeignText } from '../../lib/sys/foreign-file.ts';
import { check, SysError } from '../../lib/sys/sys-error.ts';
import type { Syscalls } from '../../lib/sys/syscalls.ts';
import { encodeForGo } from '../protocol/go-json.ts';

const FILE_LIMIT_BYTES = 4 * 1024 * 1024;

export interface AttachmentId {
  readonly containerId: string;
  readonly ifname: string;
}

function keyedPath(folder: string, id: AttachmentId): string {
  return `${folder}/${id.containerId}:${id.ifname}`;
}

function flannelPath(folder: string, id: AttachmentId): string {
  return `${folder}/${id.containerId}`;
}

function linkFile(sys: Syscalls, from: string, to: string): void {
  const value = sys.arena.scope(() => {
    const source = sys.arena.cstring(from).address;
    return sys.call(sys.nr.linkat, AT_FDCWD, source, AT_FDCWD, sys.arena.cstring(to).address, 0);
  });
  if (value !== -EEXIST) check(value, 'link', to);
}

/** Puts `text` under both names; false when the first is taken. */
function createBoth(sys: Syscalls, folder: string, id: AttachmentId, text: string): boolean {
  // Not flushed to the disk: after a power loss the pod is gone as well, and DEL works without the file.
  const create = (): boolean => createFile(sys, keyedPath(folder, id), text, 0o600);
  let created: boolean;
  try {
    created = create();
  } catch (thrown) {
    if (!(thrown instanceof SysError) || thrown.errno !== ENOENT) throw thrown;
    makeDirs(sys, folder, 0o700);
    created = create();
  }
  // flannel's name only when that is free.
  if (created) linkFile(sys, keyedPath(folder, id), flannelPath(folder, id));
  return created;
}

/** Saves a configuration and returns how to bring back what was there before. Throws SysError. */
export function saveState(sys: Syscalls, folder: string, id: AttachmentId, config: JsonObject): () => void {
  const text = encodeForGo(config);
  if (createBoth(sys, folder, id, text)) return () => removeState(sys, folder, id, 'keepOthers');
  const before = readTextIfPresent(sys, keyedPath(folder, id), FILE_LIMIT_BYTES);
  if (before === text) return () => undefined;
  const replace = (by: string): void => {
    removeState(sys, folder, id, 'keepOthers');
    createBoth(sys, folder, id, by);
  };
  replace(text);
  return () => replace(before ?? '');
}

/** What was saved: undefined when nothing was, 'corrupt' when it cannot be read. */
export function loadState(sys: Syscalls, folder: string, id: AttachmentId): JsonObject | 'corrupt' | undefined {
  const read =
    readForeignText(sys, keyedPath(folder, id), FILE_LIMIT_BYTES) ??
    readForeignText(sys, flannelPath(folder, id), FILE_LIMIT_BYTES);
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
 * flannel's name is what a DEL was working from, and goes too unless told to keep it. Throws SysError.
 */
export function removeState(
  sys: Syscalls,
  folder: string,
  id: AttachmentId,
  others: 'keepOthers' | 'all' = 'all',
): void {
  const own = statPath(sys, keyedPath(folder, id));
  const named = statPath(sys, flannelPath(folder, id));
  // Another inode is another interface's file.
  const ours = own === undefined ? others === 'all' : own.inode === named?.inode;
  if (named !== undefined && ours) removeFile(sys, flannelPath(folder, id));
  if (own !== undefined) removeFile(sys, keyedPath(folder, id));
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
