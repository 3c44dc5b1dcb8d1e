// The engine's heap: size classes over one stretch of address space. The executable lives for two
// milliseconds, and libc's malloc would cost it dozens of system calls (musl) or page faults (glibc).
// Blocks are never merged: a block freed serves its class again.
//
// Starting the engine and loading a program would take a millisecond, so the build does it once and saves the
// heap in the executable (scripts/heap-image.mjs): a segment the kernel maps where it was, at a fixed address.
// That works because nothing of the engine is outside its heap, and what the heap refers to (C functions,
// constants) is where it was in the very same executable.
//
// A block: 16 bytes of header (its payload's size), then the payload, 16-byte aligned.

#include "host-heap.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

// The engine counts what it uses, a refused request is "out of memory" to the program. The address space
// is larger because a block is up to a fifth larger than what was asked for.
enum { ENGINE_LIMIT = 64 << 20, ADDRESS_SPACE = 80 << 20, STACK_LIMIT = 1 << 20 };

// The program is over long before cycles would fill memory: collecting them early only touches pages.
enum { COLLECT_FROM = 16 << 20 };

static JSRuntime *limited(JSRuntime *rt) {
    if (rt == NULL) return NULL;
    JS_SetMemoryLimit(rt, ENGINE_LIMIT);
    JS_SetGCThreshold(rt, COLLECT_FROM);
    JS_SetMaxStackSize(rt, STACK_LIMIT);
    return rt;
}

#ifdef HOST_CHECK // every block from the sanitizer's own malloc, so that it sees misuse by the engine too

JSContext *heap_restore(void) { return NULL; }
JSRuntime *heap_runtime(void) { return limited(JS_NewRuntime()); }
const void *heap_image(JSContext *ctx, size_t *length) { return NULL; }

#else

#ifdef __aarch64__
enum { PAGE = 65536 }; // the largest a kernel may have been built with
#else
enum { PAGE = 4096 };
#endif
enum { HEADER_BYTES = 16, CLASSES = 4 * 22 + 5 };

typedef struct FreeBlock {
    struct FreeBlock *next;
} FreeBlock;

// The heap starts with its own state, so that saving the one saves the other.
static union {
    struct {
        JSContext *saved; // NULL until the build saved one
        char *top, *end;
        FreeBlock *freed[CLASSES];
    };
    char first_page[PAGE];
} heap __attribute__((section(".heap"), aligned(PAGE)));

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
    FreeBlock *block = heap.freed[class];
    if (block != NULL) {
        heap.freed[class] = block->next;
        return block;
    }
    if (rounded + HEADER_BYTES > (size_t)(heap.end - heap.top)) return NULL;
    *(size_t *)heap.top = rounded;
    char *payload = heap.top + HEADER_BYTES;
    heap.top = payload + rounded;
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
    ((FreeBlock *)block)->next = heap.freed[class];
    heap.freed[class] = block;
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

// Maps the rest of the heap's address space behind what the executable brought along.
static int extend(char *from) {
    heap.end = heap.first_page + ADDRESS_SPACE;
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;
    void *mapped = mmap(from, (size_t)(heap.end - from), PROT_READ | PROT_WRITE, flags, -1, 0);
    return mapped == MAP_FAILED ? -1 : 0;
}

static char *page_after(char *address) { return (char *)(((uintptr_t)address + PAGE - 1) & -(uintptr_t)PAGE); }

JSRuntime *heap_runtime(void) {
    static const JSMallocFunctions functions = {heap_calloc, heap_malloc, heap_free, heap_realloc, heap_size};
    heap.top = heap.first_page + PAGE;
    return extend(heap.top) < 0 ? NULL : limited(JS_NewRuntime2(&functions, NULL));
}

// An ADD or DEL writes to four of five pages of the saved heap (reference counts), and a fault for each costs
// twice what copying all in one call does: 0.15 ms an ADD. A VERSION touches too few for that. A kernel before
// 5.14 refuses, and the pages come one by one.
static void copy_pages_early(void) {
    const char *command = getenv("CNI_COMMAND");
    if (command == NULL || (strcmp(command, "ADD") != 0 && strcmp(command, "DEL") != 0)) return;
    madvise(heap.first_page, (size_t)(page_after(heap.top) - heap.first_page), MADV_POPULATE_WRITE);
}

JSContext *heap_restore(void) {
    if (heap.saved == NULL || extend(page_after(heap.top)) < 0) return NULL;
    copy_pages_early();
    JS_UpdateStackTop(JS_GetRuntime(heap.saved));
    return heap.saved;
}

const void *heap_image(JSContext *ctx, size_t *length) {
    heap.saved = ctx;
    *length = (size_t)(page_after(heap.top) - heap.first_page);
    return heap.first_page;
}

#endif
