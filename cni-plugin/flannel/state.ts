// Saves the delegate's configuration at ADD (lib/pods/saved-config.ts says where). It is written before anything is made, so an incomplete
// file means that the ADD was killed before it made anything. No temporary file is used, because nothing would remove that of an ADD that
// was killed. Differs from flannel: D28 (a second interface of a container overwrote the first one's file), D29 (the file was removed
// although the delegate's DEL had failed).

import type { JsonObject } from '../../lib/json.ts';
import type { HoldLock } from '../../lib/pods/address-store.ts';
import {
  type AttachmentId,
  flannelPath,
  keyedPath,
  removeState,
  STATE_LIMIT_BYTES,
} from '../../lib/pods/saved-config.ts';
import { ENOENT } from '../../lib/sys/errno.ts';
import { createLockedFile, linkFile, lockFile, makeDirs, readTextIfPresent } from '../../lib/sys/file.ts';
import { SysError } from '../../lib/sys/sys-error.ts';
import type { Syscalls } from '../../lib/sys/syscalls.ts';
import { encodeForGo } from '../protocol/go-json.ts';

/** Writes `text` under both names; false when the first is taken. */
function createBoth(sys: Syscalls, folder: string, id: AttachmentId, text: string, holdLock: HoldLock): boolean {
  // Not flushed to the disk: after a power loss the pod is gone as well, and DEL works without the file.
  const create = (): number | undefined => createLockedFile(sys, keyedPath(folder, id), text, 0o600);
  let created: number | undefined;
  try {
    created = create();
  } catch (thrown) {
    if (!(thrown instanceof SysError) || thrown.errno !== ENOENT) throw thrown;
    makeDirs(sys, folder, 0o700);
    created = create();
  }
  // flannel's name is used only when it is free.
  if (created === undefined) return false;
  linkFile(sys, keyedPath(folder, id), flannelPath(folder, id));
  holdLock(created);
  return true;
}

/**
 * Saves a configuration and returns how to restore what was there before. `holdLock` receives the locked file, because no port and no
 * address shows yet that an ADD is running. Throws SysError.
 */
export function saveState(
  sys: Syscalls,
  folder: string,
  id: AttachmentId,
  config: JsonObject,
  holdLock: HoldLock,
): () => void {
  const text = encodeForGo(config);
  if (createBoth(sys, folder, id, text, holdLock)) return () => removeState(sys, folder, id, 'keepOthers');
  const before = readTextIfPresent(sys, keyedPath(folder, id), STATE_LIMIT_BYTES);
  if (before === text) {
    const fd = lockFile(sys, keyedPath(folder, id));
    if (fd !== undefined) holdLock(fd);
    return () => undefined;
  }
  const replace = (by: string): void => {
    removeState(sys, folder, id, 'keepOthers');
    createBoth(sys, folder, id, by, holdLock);
  };
  replace(text);
  return () => replace(before ?? '');
}
