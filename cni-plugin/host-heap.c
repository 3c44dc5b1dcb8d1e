// The engine's heap: size classes over one stretch of address space. The executable lives for two
// milliseconds, and libc's malloc would cost it dozens of system calls (musl) or page faults (glibc).
// Blocks are never merged: a block freed serves its class again.
//
// Starting the engine and loading a program would take a millisecond, so the build does it once and saves the
// heap in the executable (scripts/heap-image.mjs): a segment the kernel maps where it was, at a fixed address.
// That works because nothing of the engine is outside its heap, and what the heap refers to (C functions,
// constants) is where it was in the very same executable.
//
// A process writes to a twentieth of what it is given (reference counts, mostly) and reads a fifth of it, but both
// are spread over nearly every page: a page written to is copied, 0.4 ms an ADD, and what is read comes from memory
// line by line, 0.3 ms. So the build watches an ADD and a DEL (scripts/heap-profile.mjs), and saves what
// they write to in one piece, what they only read in another behind it, and the rest last. Blocks are known by their
// number: loading the same program asks for the same blocks in the same order.
//
// A block: 8 bytes of header (its payload's size, its number, its class), then the payload, 8-byte aligned.

#include "host-heap.h"

#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

// The engine counts the memory that it uses; a refused request is "out of memory" to the program. The address space is larger because a
// block is up to a fifth larger than what was requested.
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
enum { SMALL_CLASSES = 17, CLASSES = SMALL_CLASSES + 8 * 20, NUMBERS = 1 << 18, LINE = 64 };

// The memory that an ADD allocates: fetched page by page it would cost one fault each.
enum { EARLY_BYTES = 16 * 4096 };

typedef struct {
    uint32_t size, number : 24, class : 8;
} Header;

typedef struct FreeBlock {
    struct FreeBlock *next;
} FreeBlock;

typedef struct {
    char *top, *end;
    FreeBlock *freed[CLASSES];
} Region;

// The heap starts with its own state, so that saving the one saves the other. Blocks that loading allocates go to one of three regions: hot
// ones are written to, warm ones are read, cold ones are neither. A restored heap allocates behind all saved blocks, in the first region.
// Freed blocks of the other regions, from `kept` on, are not used again, because nothing there must be written to.
static union {
    struct {
        JSContext *saved; // NULL until the build saved one
        Region hot;
        char *kept, *kept_end, *early_end, *warm_end;
    };
    char first_page[PAGE];
} heap __attribute__((section(".heap"), aligned(PAGE)));

// While loading: the other regions, the number of the last block, and which blocks are known to be hot or warm.
static Region warm, cold;
static uint32_t number;
static struct {
    uint32_t hot_bytes, warm_bytes;
    unsigned char hot[NUMBERS / 8], warm[NUMBERS / 8];
} profile;

// While an operation is watched, each block that was loaded has pages of its own, which begin with its header.
static int watch_file = -1;
static char *block_pages[NUMBERS], *watched_end;
static unsigned char was_read[WATCHED_SPACE / PAGE];

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
    *header = (Header){.size = (uint32_t)rounded, .class = class};
    region->top += sizeof *header + rounded;
    return header + 1;
}

static int holds(const unsigned char *numbers) {
    return number < NUMBERS && (numbers[number / 8] >> (number % 8) & 1);
}

static void *take_numbered(unsigned class, size_t rounded) {
    number++;
    void *block = NULL;
    if (holds(profile.hot)) block = take(&heap.hot, class, rounded);
    else if (holds(profile.warm)) block = take(&warm, class, rounded);
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
    int is_kept = (char *)block >= heap.kept && (char *)block < heap.kept_end;
    if (is_kept && cold.top == NULL) return;
    Region *region = !is_kept ? &heap.hot : (char *)block < warm.end ? &warm : &cold;
    unsigned class = header_of(block)->class;
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

// Maps the rest of the heap's address space behind the part that is in the executable.
static int extend(char *from) {
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;
    void *mapped = mmap(from, (size_t)(space_end() - from), PROT_READ | PROT_WRITE, flags, -1, 0);
    return mapped == MAP_FAILED ? -1 : 0;
}

int heap_read_profile(const char *path) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd >= 0 && read(fd, &profile, sizeof profile) == (ssize_t)sizeof profile ? 0 : -1;
}

JSRuntime *heap_runtime(void) {
    static const JSMallocFunctions functions = {heap_calloc, heap_malloc, heap_free, heap_realloc, heap_size};
    if (extend(heap.first_page + PAGE) < 0) return NULL;
    char *start = (char *)(&heap.early_end + 1);
    heap.hot.top = start + (-(uintptr_t)start & 7);
    heap.hot.end = heap.hot.top + profile.hot_bytes;
    warm.top = heap.kept = page_after(heap.hot.end);
    cold.top = warm.end = warm.top + profile.warm_bytes;
    cold.end = heap.kept_end = space_end();
    return limited(JS_NewRuntime2(&functions, NULL));
}

// Pages that a process writes to are copied in one call. Pages that it reads are mapped in another call and then read in order, which the
// processor predicts. A fault for each page and a wait for each cache line would cost twice as much. A VERSION uses too few pages for it. A
// kernel before 5.14 refuses the call, and the pages come one by one.
static void fetch_early(void) {
    const char *command = getenv("CNI_COMMAND");
    if (command == NULL || (strcmp(command, "ADD") != 0 && strcmp(command, "DEL") != 0)) return;
    madvise(heap.first_page, (size_t)(heap.early_end - heap.first_page), MADV_POPULATE_WRITE);
    madvise(heap.hot.top, EARLY_BYTES, MADV_POPULATE_WRITE);
    madvise(heap.kept, (size_t)(page_after(heap.warm_end) - heap.kept), MADV_POPULATE_READ);
    for (volatile char *line = heap.kept; line < heap.warm_end; line += LINE) (void)*line;
}

static void go_on_behind(char *loaded) {
    heap.hot.top = heap.kept_end = loaded;
    heap.hot.end = space_end();
    cold.top = NULL;
}

JSContext *heap_restore(void) {
    if (heap.saved == NULL || extend(heap.kept_end) < 0) return NULL;
    go_on_behind(heap.kept_end);
    fetch_early();
    JS_UpdateStackTop(JS_GetRuntime(heap.saved));
    return heap.saved;
}

const void *heap_image(JSContext *ctx, size_t *length) {
    heap.saved = ctx;
    heap.kept_end = page_after(cold.top);
    heap.early_end = profile.hot_bytes > 0 ? page_after(heap.hot.top) : heap.kept_end;
    heap.warm_end = warm.end;
    *length = (size_t)(heap.kept_end - heap.first_page);
    return heap.first_page;
}

// Runs when a watched page is read for the first time, and again when it is first written to: records the block to which it belongs. Pages
// of large blocks except the first belong to no block.
static void on_use(int signal, siginfo_t *info, void *context) {
    char *page = (char *)((uintptr_t)info->si_addr & -(uintptr_t)PAGE);
    if (page < heap.kept || page >= watched_end) _exit(1);
    unsigned char *is_write = &was_read[(page - heap.first_page) / PAGE];
    if (mprotect(page, PAGE, *is_write ? PROT_READ | PROT_WRITE : PROT_READ) < 0) _exit(1);
    Header *header = (Header *)page;
    uint32_t use[] = {header->size, header->number, *is_write};
    *is_write = 1;
    if (header->number >= NUMBERS || block_pages[header->number] != page) return;
    if (write(watch_file, use, sizeof use) != sizeof use) _exit(1);
}

int heap_watch(const char *path) {
    watch_file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    return watch_file < 0 ? -1 : 0;
}

int heap_start_watching(void) {
    if (watch_file < 0) return 0;
    struct sigaction action = {.sa_sigaction = on_use, .sa_flags = SA_SIGINFO};
    watched_end = page_after(cold.top);
    go_on_behind(watched_end);
    int failed = sigaction(SIGSEGV, &action, NULL) < 0;
    return failed || mprotect(heap.kept, (size_t)(watched_end - heap.kept), PROT_NONE) < 0 ? -1 : 0;
}

#endif
