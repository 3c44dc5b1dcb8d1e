// The engine's heap; see host-heap.c.

#ifndef HOST_HEAP_H
#define HOST_HEAP_H

#include "quickjs.h"

// A runtime on a heap of its own, limited to 64 MiB; NULL when even that cannot be had.
JSRuntime *new_runtime(void);

#endif
