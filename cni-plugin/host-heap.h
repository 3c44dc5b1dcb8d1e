// The engine's heap; see host-heap.c.

#ifndef HOST_HEAP_H
#define HOST_HEAP_H

#include <stddef.h>

#include "quickjs.h"

// The context saved in this executable, on a heap ready for use; NULL when there is none.
JSContext *heap_restore(void);

// A runtime on a heap of its own, limited to 64 MiB; NULL when even that cannot be had.
JSRuntime *heap_runtime(void);

// The bytes that the build must write to save `ctx` and everything it refers to: start and length. Call it last.
const void *heap_image(JSContext *ctx, size_t *length);

// Call before the heap is made. Reads which blocks are written to and which are read, from a file of scripts/heap-profile.mjs. −1 when it
// cannot be read.
int heap_read_profile(const char *path);

// Call before the heap is made. Makes every use of the loaded blocks be appended to the file `path`: size and number of the block, and 0
// when it is first read, 1 when it is first written to, 32 bits each. −1 when this is not possible.
int heap_watch(const char *path);

// Call when everything is loaded: watching begins now, if heap_watch was called.
int heap_start_watching(void);

#endif
