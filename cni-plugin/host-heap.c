// The engine's heap: size classes over one stretch of address space. The executable lives for two
// milliseconds, and libc's malloc would cost it dozens of system calls (musl) or page faults (glibc).
// Blocks are never merged: a block freed serves its class again.
//
// Starting the engine and loading a program would take a millisecond, so the build does it once and saves the
// heap in the executable (scripts/heap-image.mjs): a segment the kernel maps where it was, at a fixed address.
// That works because nothing of the engine is outside its heap, and what the heap refers to (C functions,
// constants) is where it was in the very same executable.
//
// A process writes to a twentieth of what it is given (reference counts, mostly), but that is spread over nearly
// every page, and each page written to is copied: 0.4 ms an ADD. So the build watches an ADD and a DEL
// (scripts/heap-profile.mjs), and saves what they write to in one piece, the rest behind it. Blocks are known by
// their number: loading the same program asks for the same blocks in the same order.
//
// A block: 8 bytes of header (its payload's size and its number), then the payload, 8-byte aligned.

#include "host-heap.h"

#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

// The engine counts what it uses, a refused request is "out of memory" to the program. The address space
// is larger because a block is up to a fifth larger than what was asked for.
enum { ENGINE_LIMIT = 64 << 20, ADDRESS_SPACE = 80 << 20, WATCHED_SPACE = 1 << 30, STACK_LIMIT = 1 << 20 };

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
int heap_read_profile(const char *path) { return -1; }
int heap_watch(const char *path) { return -1; }
int heap_start_watching(void) { return 0; }

#else

#ifdef __aarch64__
enum { PAGE = 65536 }; // the largest a kernel may have been built with
#else
enum { PAGE = 4096 };
#endif
enum { SMALL_CLASSES = 17, CLASSES = SMALL_CLASSES + 8 * 20, NUMBERS = 1 << 18 };

// What an ADD allocates: as pages of their own they would cost a fault each.
enum { EARLY_BYTES = 16 * 4096 };

typedef struct {
    uint32_t size, number;
} Header;

typedef struct FreeBlock {
    struct FreeBlock *next;
} FreeBlock;

typedef struct {
    char *top, *end;
    FreeBlock *freed[CLASSES];
} Region;

// The heap starts with its own state, so that saving the one saves the other. What loading allocates goes to
// either region; a restored heap goes on with the first behind all that was saved, and leaves what is freed of
// the second alone: nothing there shall be written to.
static union {
    struct {
        JSContext *saved; // NULL until the build saved one
        Region hot;
        char *cold, *cold_end, *early_end;
    };
    char first_page[PAGE];
} heap __attribute__((section(".heap"), aligned(PAGE)));

// While loading: the second region, the number of the last block, and which are known to be hot.
static Region cold;
static uint32_t number;
static unsigned char hot_numbers[NUMBERS / 8];
static uint32_t hot_bytes;

// While an operation is watched, each block that was loaded has pages of its own, which begin with its header.
static int watch_file = -1;
static char *block_pages[NUMBERS], *watched_end;

// The class that serves `size` bytes, and the size of its blocks: multiples of 8 up to 128, then eight classes to
// each doubling.
static unsigned class_of(size_t size, size_t *rounded) {
    if (size <= 128) {
        *rounded = size <= 8 ? 8 : (size + 7) & ~(size_t)7;
        return (unsigned)(*rounded / 8);
    }
    unsigned bits = 63 - (unsigned)__builtin_clzll(size - 1); // 2^bits <= size - 1 < 2^(bits + 1)
    unsigned eighth = ((size - 1) >> (bits - 3)) & 7;
    *rounded = (size_t)(eighth + 9) << (bits - 3);
    return (bits - 7) * 8 + eighth + SMALL_CLASSES;
}

static char *page_after(char *address) { return (char *)(((uintptr_t)address + PAGE - 1) & -(uintptr_t)PAGE); }

static Header *header_of(const void *block) { return (Header *)block - 1; }

static size_t heap_size(const void *block) { return block == NULL ? 0 : header_of(block)->size; }

static void *take(Region *region, unsigned class, size_t rounded) {
    FreeBlock *block = region->freed[class];
    if (block != NULL) {
        region->freed[class] = block->next;
        return block;
    }
    if (watch_file >= 0 && region == &cold) region->top = page_after(region->top);
    if (rounded + sizeof(Header) > (size_t)(region->end - region->top)) return NULL;
    Header *header = (Header *)region->top;
    header->size = (uint32_t)rounded;
    region->top += sizeof *header + rounded;
    return header + 1;
}

static void *take_numbered(unsigned class, size_t rounded) {
    int is_hot = ++number < NUMBERS && (hot_numbers[number / 8] >> (number % 8) & 1);
    void *block = is_hot ? take(&heap.hot, class, rounded) : NULL;
    if (block == NULL) block = take(&cold, class, rounded);
    if (block == NULL) return NULL;
    header_of(block)->number = number;
    if (number < NUMBERS) block_pages[number] = (char *)header_of(block);
    return block;
}

static void *heap_malloc(void *opaque, size_t size) {
    if (size > ENGINE_LIMIT) return NULL;
    size_t rounded;
    unsigned class = class_of(size, &rounded);
    return cold.top == NULL ? take(&heap.hot, class, rounded) : take_numbered(class, rounded);
}

static void *heap_calloc(void *opaque, size_t count, size_t size) {
    void *block = heap_malloc(opaque, count * size); // the engine has checked the product
    return block == NULL ? NULL : memset(block, 0, count * size);
}

static void heap_free(void *opaque, void *block) {
    if (block == NULL) return;
    int is_cold = (char *)block >= heap.cold && (char *)block < heap.cold_end;
    if (is_cold && cold.top == NULL) return;
    Region *region = is_cold ? &cold : &heap.hot;
    size_t rounded;
    unsigned class = class_of(heap_size(block), &rounded);
    ((FreeBlock *)block)->next = region->freed[class];
    region->freed[class] = block;
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

static char *space_end(void) { return heap.first_page + (watch_file < 0 ? ADDRESS_SPACE : WATCHED_SPACE); }

// Maps the rest of the heap's address space behind what the executable brought along.
static int extend(char *from) {
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;
    void *mapped = mmap(from, (size_t)(space_end() - from), PROT_READ | PROT_WRITE, flags, -1, 0);
    return mapped == MAP_FAILED ? -1 : 0;
}

int heap_read_profile(const char *path) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct iovec parts[2] = {{&hot_bytes, sizeof hot_bytes}, {hot_numbers, sizeof hot_numbers}};
    return fd >= 0 && readv(fd, parts, 2) > (ssize_t)sizeof hot_bytes ? 0 : -1;
}

JSRuntime *heap_runtime(void) {
    static const JSMallocFunctions functions = {heap_calloc, heap_malloc, heap_free, heap_realloc, heap_size};
    if (extend(heap.first_page + PAGE) < 0) return NULL;
    char *start = (char *)(&heap.early_end + 1);
    heap.hot.top = start + (-(uintptr_t)start & 7);
    heap.hot.end = heap.hot.top + hot_bytes;
    cold.top = heap.cold = page_after(heap.hot.end);
    cold.end = heap.cold_end = space_end();
    return limited(JS_NewRuntime2(&functions, NULL));
}

// What a process writes to is copied in one call; a fault for each page would cost twice that. A VERSION writes
// too little for it. A kernel before 5.14 refuses, and the pages come one by one.
static void copy_pages_early(void) {
    const char *command = getenv("CNI_COMMAND");
    if (command == NULL || (strcmp(command, "ADD") != 0 && strcmp(command, "DEL") != 0)) return;
    madvise(heap.first_page, (size_t)(heap.early_end - heap.first_page), MADV_POPULATE_WRITE);
    madvise(heap.hot.top, EARLY_BYTES, MADV_POPULATE_WRITE);
}

static void go_on_behind(char *loaded) {
    heap.hot.top = heap.cold_end = loaded;
    heap.hot.end = space_end();
    cold.top = NULL;
}

JSContext *heap_restore(void) {
    if (heap.saved == NULL || extend(heap.cold_end) < 0) return NULL;
    go_on_behind(heap.cold_end);
    copy_pages_early();
    JS_UpdateStackTop(JS_GetRuntime(heap.saved));
    return heap.saved;
}

const void *heap_image(JSContext *ctx, size_t *length) {
    heap.saved = ctx;
    heap.cold_end = page_after(cold.top);
    heap.early_end = hot_bytes > 0 ? page_after(heap.hot.top) : heap.cold_end;
    *length = (size_t)(heap.cold_end - heap.first_page);
    return heap.first_page;
}

// A watched page is written to for the first time: notes the header of the block it belongs to. Pages but the
// first of large blocks are nobody's.
static void on_write(int signal, siginfo_t *info, void *context) {
    char *page = (char *)((uintptr_t)info->si_addr & -(uintptr_t)PAGE);
    if (page < heap.cold || page >= watched_end || mprotect(page, PAGE, PROT_READ | PROT_WRITE) < 0) _exit(1);
    Header *header = (Header *)page;
    if (header->number >= NUMBERS || block_pages[header->number] != page) return;
    if (write(watch_file, header, sizeof *header) != sizeof *header) _exit(1);
}

int heap_watch(const char *path) {
    watch_file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    return watch_file < 0 ? -1 : 0;
}

int heap_start_watching(void) {
    if (watch_file < 0) return 0;
    struct sigaction action = {.sa_sigaction = on_write, .sa_flags = SA_SIGINFO};
    watched_end = page_after(cold.top);
    go_on_behind(watched_end);
    int failed = sigaction(SIGSEGV, &action, NULL) < 0;
    return failed || mprotect(heap.cold, (size_t)(watched_end - heap.cold), PROT_READ) < 0 ? -1 : 0;
}

#endif
