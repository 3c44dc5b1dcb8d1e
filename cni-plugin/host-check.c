// The sanitizer build's gatekeeper: before each system call, every byte that the kernel may read or write must lie in a live slot of the
// arena. lib/sys/arena.ts reports these bytes by poison(); AddressSanitizer remembers them, and also stops the engine when the program
// itself reads or writes outside of them (a stale view). Sizes and arguments are those of man 2; a call that is not in the table is
// refused.

#include <linux/bpf.h>
#include <poll.h>
#include <sanitizer/asan_interface.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "host-check.h"

typedef enum {
    NONE,
    TEXT,    // a NUL-terminated string
    BYTES,   // `size` bytes
    SIZED,   // as many bytes as argument `size` says
    COUNTED, // as many bytes as the 32-bit integer at argument `size` says
    POLLS,   // as many struct pollfd as argument `size` says
    VECTORS, // as many struct iovec as argument `size` says, and what they point to
    MESSAGE, // a struct msghdr, and what it points to
    TEXTS,   // a NULL-terminated array of strings
    BPF,     // a union bpf_attr of `size` bytes, argument `size`, and what the commands of the executable point to in it
} Kind;

typedef struct {
    Kind kind;
    int argument; // from 1
    int size;
} Pointer;

typedef struct {
    long number;
    const char *name;
    Pointer pointers[4]; // 0 is always allowed as an address, the kernel answers EFAULT itself
} Call;

#define CALL(name, ...) {SYS_##name, #name, {__VA_ARGS__}}
static const Call calls[] = {
    CALL(read, {SIZED, 2, 3}), CALL(write, {SIZED, 2, 3}),
    CALL(readv, {VECTORS, 2, 3}), CALL(writev, {VECTORS, 2, 3}),
    CALL(openat, {TEXT, 2}), CALL(mkdirat, {TEXT, 2}), CALL(unlinkat, {TEXT, 2}), CALL(chdir, {TEXT, 1}),
    CALL(renameat2, {TEXT, 2}, {TEXT, 4}), CALL(linkat, {TEXT, 2}, {TEXT, 4}),
    CALL(getdents64, {SIZED, 2, 3}),
    CALL(statx, {TEXT, 2}, {BYTES, 5, 256}), CALL(statfs, {TEXT, 1}, {BYTES, 2, 120}),
    CALL(ppoll, {POLLS, 1, 2}, {BYTES, 3, 16}, {SIZED, 4, 5}), CALL(pipe2, {BYTES, 1, 8}),
    CALL(execve, {TEXT, 1}, {TEXTS, 2}, {TEXTS, 3}), CALL(wait4, {BYTES, 2, 4}, {BYTES, 4, 144}),
    CALL(rt_sigaction, {BYTES, 2, 32}, {BYTES, 3, 32}), CALL(rt_sigprocmask, {SIZED, 2, 4}, {SIZED, 3, 4}),
    CALL(mount, {TEXT, 1}, {TEXT, 2}, {TEXT, 3}, {TEXT, 5}), CALL(umount2, {TEXT, 1}),
    CALL(bind, {SIZED, 2, 3}), CALL(connect, {SIZED, 2, 3}), CALL(getsockname, {BYTES, 3, 4}, {COUNTED, 2, 3}),
    CALL(sendto, {SIZED, 2, 3}, {SIZED, 5, 6}), CALL(recvfrom, {SIZED, 2, 3}, {BYTES, 6, 4}, {COUNTED, 5, 6}),
    CALL(sendmsg, {MESSAGE, 2}), CALL(recvmsg, {MESSAGE, 2}),
    CALL(setsockopt, {SIZED, 4, 5}), CALL(getsockopt, {BYTES, 5, 4}, {COUNTED, 4, 5}),
    CALL(clock_gettime, {BYTES, 2, 16}), CALL(clock_nanosleep, {BYTES, 3, 16}, {BYTES, 4, 16}),
    CALL(getrandom, {SIZED, 1, 2}),
    // A struct ifreq is the largest thing our ioctls carry; a request that carries less is given a slot of it too.
    CALL(ioctl, {BYTES, 3, 40}), CALL(bpf, {BPF, 2, 3}),
    CALL(close), CALL(ftruncate), CALL(fsync), CALL(fchmod), CALL(flock), CALL(fcntl), CALL(dup3), CALL(clone),
    CALL(kill), CALL(setns), CALL(unshare), CALL(socket), CALL(getpid), CALL(gettid), CALL(eventfd2), CALL(prctl),
    CALL(exit_group), CALL(mmap), CALL(munmap),
};

static uintptr_t arena_start, arena_length;
static const char *current = "host";

static _Noreturn void die(const char *format, ...) {
    va_list values;
    va_start(values, format);
    fprintf(stderr, "host-check: %s: ", current);
    vfprintf(stderr, format, values);
    fputc('\n', stderr);
    va_end(values);
    abort();
}

static void check_range(uintptr_t address, uintptr_t length) {
    if (address == 0 || length == 0) return;
    uintptr_t offset = address - arena_start;
    if (offset >= arena_length || length > arena_length - offset)
        die("%zu bytes at %#zx are not inside the arena", length, address);
    char *bad = __asan_region_is_poisoned((void *)address, length);
    if (bad != NULL)
        die("byte %zu of %zu at arena offset %zu is not in a live slot", (uintptr_t)bad - address, length, offset);
}

// Each byte is checked before it is read: the fault to find is a string whose NUL lies beyond its slot.
static void check_text(uintptr_t address) {
    if (address == 0) return;
    for (uintptr_t at = address;; at++) {
        check_range(at, 1);
        if (*(const char *)at == '\0') return;
    }
}

static void check_texts(uintptr_t address) {
    if (address == 0) return;
    for (const uintptr_t *at = (const uintptr_t *)address;; at++) {
        check_range((uintptr_t)at, sizeof *at);
        if (*at == 0) return;
        check_text(*at);
    }
}

static void check_vectors(uintptr_t address, uintptr_t count) {
    check_range(address, count * sizeof(struct iovec));
    const struct iovec *vectors = (const struct iovec *)address;
    for (uintptr_t i = 0; i < count; i++) check_range((uintptr_t)vectors[i].iov_base, vectors[i].iov_len);
}

static void check_message(uintptr_t address) {
    if (address == 0) return;
    check_range(address, sizeof(struct msghdr));
    const struct msghdr *message = (const struct msghdr *)address;
    check_range((uintptr_t)message->msg_name, message->msg_namelen);
    check_vectors((uintptr_t)message->msg_iov, message->msg_iovlen);
    check_range((uintptr_t)message->msg_control, message->msg_controllen);
}

// Checks only the first byte of keys and values, because their length is in the map's definition and not in the call.
static void check_bpf(int64_t command, uintptr_t address, uintptr_t size) {
    check_range(address, size);
    const union bpf_attr *attr = (const union bpf_attr *)address;
    switch (command) {
    case BPF_OBJ_GET: check_text(attr->pathname); break;
    case BPF_MAP_DELETE_ELEM: check_range(attr->key, 1); break;
    case BPF_MAP_LOOKUP_BATCH:
        check_range(attr->batch.in_batch, 1);
        check_range(attr->batch.out_batch, 1);
        check_range(attr->batch.keys, 1);
        check_range(attr->batch.values, 1);
        break;
    default: die("command %ld is not one of those that are checked", (long)command);
    }
}

static void check_pointer(const Pointer *pointer, const int64_t call[7]) {
    uintptr_t address = (uintptr_t)call[pointer->argument];
    uintptr_t size = pointer->size < 7 ? (uintptr_t)call[pointer->size] : 0;
    switch (pointer->kind) {
    case NONE: break;
    case TEXT: check_text(address); break;
    case BYTES: check_range(address, (uintptr_t)pointer->size); break;
    case SIZED: check_range(address, size); break;
    case COUNTED: check_range(address, size == 0 ? 0 : *(const uint32_t *)size); break;
    case POLLS: check_range(address, size * sizeof(struct pollfd)); break;
    case VECTORS: check_vectors(address, size); break;
    case MESSAGE: check_message(address); break;
    case TEXTS: check_texts(address); break;
    case BPF: check_bpf(call[1], address, size); break;
    }
}

// Any other argument that looks like one of our addresses would be a pointer that the table does not know.
static void check_unlisted(const Call *entry, const int64_t call[7]) {
    for (int argument = 1; argument < 7; argument++) {
        int listed = 0;
        for (int i = 0; i < 4; i++) listed |= entry->pointers[i].kind != NONE && entry->pointers[i].argument == argument;
        if (!listed && (uintptr_t)call[argument] - arena_start < arena_length)
            die("argument %d is an address the table does not know", argument);
    }
}

void check_syscall(const int64_t call[7]) {
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        if (calls[i].number != call[0]) continue;
        current = calls[i].name;
        for (int at = 0; at < 4; at++) check_pointer(&calls[i].pointers[at], call);
        check_unlisted(&calls[i], call);
        return;
    }
    current = "syscall";
    die("number %ld is not in the table", (long)call[0]);
}

void check_map(void *memory, size_t length) {
    arena_start = (uintptr_t)memory;
    arena_length = length;
}

void check_memory(const char *what, const void *memory, size_t length) {
    current = what;
    char *bad = length == 0 ? NULL : __asan_region_is_poisoned((void *)memory, length);
    if (bad != NULL) die("byte %zu of %zu is not in a live slot", (size_t)(bad - (const char *)memory), length);
}

// poison(offset, length, on): called by the arena about its slots.
JSValue check_poison(JSContext *ctx, JSValueConst this, int argc, JSValueConst *argv) {
    int64_t offset, length;
    if (JS_ToInt64(ctx, &offset, argv[0]) != 0 || JS_ToInt64(ctx, &length, argv[1]) != 0) return JS_EXCEPTION;
    char *start = (char *)arena_start + offset;
    if (JS_ToBool(ctx, argv[2])) __asan_poison_memory_region(start, (size_t)length);
    else __asan_unpoison_memory_region(start, (size_t)length);
    return JS_UNDEFINED;
}
