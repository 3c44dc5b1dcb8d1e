// Gives memory back to the kernel that the C library keeps for later although it is free.

import koffi from 'koffi';

/**
 * malloc_trim(3): among thousands of blocks that came and went, glibc keeps every page between those in use. It takes half a
 * millisecond. Other C libraries have no such function; then nothing is done.
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
