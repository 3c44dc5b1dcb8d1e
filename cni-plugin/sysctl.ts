// Kernel settings under /proc/sys/net, which shows the network namespace of the calling thread.

import { OpError } from '../lib/errors.ts';
import { O_WRONLY, readText, withFile, writeAll } from '../lib/sys/file.ts';
import type { Syscalls } from '../lib/sys/syscalls.ts';

const ROOT = '/proc/sys/net/';

/** Sets `key` (`ipv4/ip_forward`) to a value. Throws SysError. */
function writeSysctl(sys: Syscalls, key: string, value: string): void {
  const path = ROOT + key;
  withFile(sys, path, O_WRONLY, 0, (fd) => writeAll(sys, fd, sys.arena.encode(value), path));
}

/** Like writeSysctl, but returns false when the kernel lacks the key or refuses. */
export function tryWriteSysctl(sys: Syscalls, key: string, value: string): boolean {
  try {
    writeSysctl(sys, key, value);
    return true;
  } catch (thrown) {
    if (thrown instanceof OpError) return false;
    throw thrown;
  }
}

/** Sets `key` unless it already has that value: reading is allowed even where writing is not. Throws SysError. */
export function ensureSysctl(sys: Syscalls, key: string, value: string): void {
  if (readText(sys, ROOT + key, 256).trim() !== value) writeSysctl(sys, key, value);
}
