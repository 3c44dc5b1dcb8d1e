import { describe, expect, test } from 'vitest';
import { ENOENT } from './errno.ts';
import { openKoffiSyscalls } from './koffi.ts';

const AT_FDCWD = -100;
const sys = openKoffiSyscalls();

describe('openKoffiSyscalls', () => {
  test('returns the value of a system call', () => {
    expect(sys.call(sys.nr.getpid)).toBe(process.pid);
  });

  test('returns −errno of a failed system call', () => {
    sys.arena.scope(() => {
      const path = sys.arena.cstring('/no/such/file');
      expect(sys.call(sys.nr.openat, AT_FDCWD, path.address, 0)).toBe(-ENOENT);
    });
  });

  test('gives the kernel memory it can write and we can read', () => {
    sys.arena.scope(() => {
      const path = sys.arena.cstring('/proc/self/comm');
      const fd = sys.call(sys.nr.openat, AT_FDCWD, path.address, 0);
      const buffer = sys.arena.alloc(64);
      const read = sys.call(sys.nr.read, fd, buffer.address, buffer.length);
      sys.call(sys.nr.close, fd);
      expect(read).toBeGreaterThan(1);
      expect(buffer.text(read - 1, 1)).toBe('\n');
    });
  });

  test('refuses text that has no UTF-8 form', () => {
    expect(() => sys.arena.encode('a\ud800')).toThrow('lone surrogate');
  });

  test('refuses bytes that are not UTF-8', () => {
    expect(() => sys.arena.decode(new Uint8Array([0x61, 0xff]))).toThrow();
    expect(() => sys.arena.decode(new Uint8Array([0xc0, 0x80]))).toThrow();
  });
});
