// The engine's heap; see host-heap.c.

#ifndef HOST_HEAP_H
#define HOST_HEAP_H

#include <stddef.h>

#include "quickjs.h"

// The context saved in this executable, on a heap ready for use; NULL when there is none.
JSContext *heap_restore(void);

// A runtime on a heap of its own, limited to 64 MiB; NULL when even that cannot be had.
JSRuntime *heap_runtime(void);

// What to write for the build to save `ctx` and everything it refers to: start and length. Call it last.
const void *heap_image(JSContext *ctx, size_t *length);

// Before the heap is made: which blocks are written to and which read, as scripts/heap-profile.mjs wrote it. −1 when it cannot be read.
int heap_read_profile(const char *path);

// Before the heap is made: what is loaded shall be watched, and each use appended to the file `path`: size and
// number of the block, and 0 when it is first read, 1 when it is first written to, 32 bits each. −1 when that cannot be.
int heap_watch(const char *path);

// Everything is loaded: from now on it is watched, if it shall be.
int heap_start_watching(void);

#endif
