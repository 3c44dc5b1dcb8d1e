// A bpffs that no other process can see: while a synchronous body runs, the calling thread is alone in a mount namespace of its own.

import { mkdtempSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { closeFd, O_RDONLY, openFile } from '../../lib/sys/file.ts';
import { check } from '../../lib/sys/sys-error.ts';
import type { Syscalls } from '../../lib/sys/syscalls.ts';

const CLONE_NEWNS = 0x0002_0000;
const MS_REC_PRIVATE = 0x4000 | 0x4_0000;

/** Runs `body` with the path of a new bpffs, which disappears afterwards with everything pinned in it. */
export function inOwnBpffs<T>(sys: Syscalls, body: (path: string) => T): T {
  const path = mkdtempSync(join(tmpdir(), `weft-bpffs-${process.pid}-`));
  const own = openFile(sys, '/proc/thread-self/ns/mnt', O_RDONLY);
  try {
    check(sys.call(sys.nr.unshare, CLONE_NEWNS), 'make', 'mount namespace');
    try {
      mount(sys, 'none', '/', undefined, MS_REC_PRIVATE);
      mount(sys, 'bpf', path, 'bpf', 0);
      return body(path);
    } finally {
      check(sys.call(sys.nr.setns, own, CLONE_NEWNS), 'return to', 'mount namespace');
    }
  } finally {
    closeFd(sys, own);
    rmdirSync(path);
  }
}

function mount(sys: Syscalls, source: string, target: string, type: string | undefined, flags: number): void {
  sys.arena.scope(() => {
    const text = (value: string | undefined) => (value === undefined ? 0 : sys.arena.textAddress(value));
    check(sys.call(sys.nr.mount, text(source), text(target), text(type), flags, 0), 'mount', target);
  });
}
