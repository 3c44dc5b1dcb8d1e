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

#endif
