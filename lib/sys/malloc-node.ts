// Returns free memory to the kernel that the C library would keep.

import koffi from 'koffi';

/**
 * malloc_trim(3): after thousands of blocks have been allocated and freed, glibc keeps every page that lies between those in use. It takes
 * half a millisecond. Other C libraries have no such function; then nothing is done.
 */
export function trimFreeMemory(): void {
  const trim = load();
  trim?.(0);
}

function load(): ((pad: number) => number) | undefined {
  try {
    return koffi.load('libc.so.6').func('int malloc_trim(size_t pad)');
  } catch {
    return undefined;
  }
}
