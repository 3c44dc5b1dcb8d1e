// The engine's heap: size classes over one reserved stretch of address space, whose first pages one system
// call brings in. The executable lives for two milliseconds; libc's malloc would cost it dozens of system
// calls (musl) or page faults (glibc). Blocks are never merged: a block freed serves its class again.
//
// A block: 16 bytes of header (its payload's size), then the payload, 16-byte aligned.

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "host-heap.h"

// The engine counts what it uses, a refused request is "out of memory" to the program. The address space
// is larger because a block is up to a fifth larger than what was asked for.
enum { ENGINE_LIMIT = 64 << 20, ADDRESS_SPACE = 80 << 20 };

#ifdef HOST_CHECK // every block from the sanitizer's own malloc, so that it sees misuse by the engine too

JSRuntime *new_runtime(void) {
    JSRuntime *rt = JS_NewRuntime();
    if (rt != NULL) JS_SetMemoryLimit(rt, ENGINE_LIMIT);
    return rt;
}

#else

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 // linux/mman.h; kernels before 5.14 refuse it, and pages come by faults
#endif

// What VERSION touches, brought in at once.
enum { READY_BYTES = 160 << 10 };
enum { HEADER_BYTES = 16, CLASSES = 4 * 22 + 5 };

typedef struct FreeBlock {
    struct FreeBlock *next;
} FreeBlock;

static char *top, *end;
static FreeBlock *freed[CLASSES];

// The class that serves `size` bytes, and the size of its blocks: multiples of 16 up to 64, then four
// classes to each doubling.
static unsigned class_of(size_t size, size_t *rounded) {
    if (size <= 64) {
        *rounded = (size + 15) & ~(size_t)15;
        return (unsigned)(*rounded / 16);
    }
    unsigned bits = 63 - (unsigned)__builtin_clzll(size - 1); // 2^bits <= size - 1 < 2^(bits + 1)
    unsigned quarter = ((size - 1) >> (bits - 2)) & 3;
    *rounded = (size_t)(quarter + 5) << (bits - 2);
    return (bits - 6) * 4 + quarter + 5;
}

static size_t heap_size(const void *block) {
    return block == NULL ? 0 : *(const size_t *)((const char *)block - HEADER_BYTES);
}

static void *heap_malloc(void *opaque, size_t size) {
    if (size > ENGINE_LIMIT) return NULL;
    size_t rounded;
    unsigned class = class_of(size, &rounded);
    FreeBlock *block = freed[class];
    if (block != NULL) {
        freed[class] = block->next;
        return block;
    }
    if (rounded + HEADER_BYTES > (size_t)(end - top)) return NULL;
    *(size_t *)top = rounded;
    char *payload = top + HEADER_BYTES;
    top = payload + rounded;
    return payload;
}

static void *heap_calloc(void *opaque, size_t count, size_t size) {
    void *block = heap_malloc(opaque, count * size); // the engine has checked the product
    return block == NULL ? NULL : memset(block, 0, count * size);
}

static void heap_free(void *opaque, void *block) {
    if (block == NULL) return;
    size_t rounded;
    unsigned class = class_of(heap_size(block), &rounded);
    ((FreeBlock *)block)->next = freed[class];
    freed[class] = block;
}

static void *heap_realloc(void *opaque, void *block, size_t size) {
    size_t old = heap_size(block);
    if (block != NULL && size <= old) return block;
    void *larger = heap_malloc(opaque, size);
    if (larger != NULL && block != NULL) {
        memcpy(larger, block, old);
        heap_free(opaque, block);
    }
    return larger;
}

JSRuntime *new_runtime(void) {
    static const JSMallocFunctions functions = {heap_calloc, heap_malloc, heap_free, heap_realloc, heap_size};
    top = mmap(NULL, ADDRESS_SPACE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (top == MAP_FAILED) return NULL;
    end = top + ADDRESS_SPACE;
    (void)madvise(top, READY_BYTES, MADV_POPULATE_WRITE);
    JSRuntime *rt = JS_NewRuntime2(&functions, NULL);
    if (rt != NULL) JS_SetMemoryLimit(rt, ENGINE_LIMIT);
    return rt;
}

#endif
