// Handles files in folders to which others write as well. Something with the name of our file may be a link, a device or a folder.

import { EISDIR, ELOOP, ENXIO } from './errno.ts';
import { O_CREAT, O_WRONLY, openFile, readTextIfPresent, removeFile, tryOpen } from './file.ts';
import { check, SysError } from './sys-error.ts';
import type { Syscalls } from './syscalls.ts';

const EFBIG = 27;
const NO_TEXT: readonly number[] = [ENXIO, EISDIR, EFBIG, ELOOP];

/** What has the name: a text, nothing (undefined), or something that is not a text of that size. */
export type ForeignText = { readonly text: string } | 'unreadable' | undefined;

/** Reads a file that may be foreign: a folder, a socket, a loop of links, a device, bytes that are not UTF-8. Throws SysError. */
export function readForeignText(sys: Syscalls, path: string, maxBytes: number): ForeignText {
  try {
    const text = readTextIfPresent(sys, path, maxBytes);
    return text === undefined ? undefined : { text };
  } catch (thrown) {
    // Any other error may not occur at the next try, so it is thrown.
    if (thrown instanceof SysError && !NO_TEXT.includes(thrown.errno)) throw thrown;
    return 'unreadable';
  }
}

/** Opens a file to be written in place, making it when it is missing. A link of that name is replaced, never followed. */
export function openInPlace(sys: Syscalls, path: string, mode: number): number {
  const flags = O_WRONLY | O_CREAT | sys.flags.O_NOFOLLOW;
  const fd = tryOpen(sys, path, flags, mode);
  if (fd !== -ELOOP) return check(fd, 'open', path);
  removeFile(sys, path);
  return openFile(sys, path, flags, mode);
}
