// One system call made by a child, for calls that take the kernel long and whose end nobody needs to wait for. A forked child would also
// work, but then each page that either side writes to is copied, which takes a quarter of a whole DEL. This child shares our memory, has
// its own stack and touches only its registers, as after vfork(2), so neither libc nor the engine notice it. It outlives us; the memory
// goes with the last process that has it.

#include "host-detach.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>

enum { CHILDREN = 4, STACK_BYTES = 4096 };

// Each child keeps its stack for good, because it is not known when the child is done with it.
static struct {
    char stack[STACK_BYTES] __attribute__((aligned(16)));
    long close, call[7];
} children[CHILDREN];
static int started;

// syscall(2) without errno, which is the parent's.
__attribute__((no_sanitize("address", "undefined"))) static long raw(const long n[7]) {
#if defined(__x86_64__)
    long value;
    register long d __asm__("r10") = n[4], e __asm__("r8") = n[5], f __asm__("r9") = n[6];
    __asm__ volatile("syscall"
                     : "=a"(value)
                     : "a"(n[0]), "D"(n[1]), "S"(n[2]), "d"(n[3]), "r"(d), "r"(e), "r"(f)
                     : "rcx", "r11", "memory");
    return value;
#elif defined(__aarch64__)
    register long number __asm__("x8") = n[0], a __asm__("x0") = n[1], b __asm__("x1") = n[2];
    register long c __asm__("x2") = n[3], d __asm__("x3") = n[4], e __asm__("x4") = n[5], f __asm__("x5") = n[6];
    __asm__ volatile("svc 0" : "+r"(a) : "r"(number), "r"(b), "r"(c), "r"(d), "r"(e), "r"(f) : "memory");
    return a;
#endif
}

__attribute__((no_sanitize("address", "undefined"))) static int run_child(void *argument) {
    int which = (int)(intptr_t)argument;
    long close[7] = {SYS_close}, leave[7] = {SYS_exit_group};
    for (close[1] = 0; close[1] <= 2; close[1]++) raw(close);
    close[1] = children[which].close;
    if (close[1] > 2) raw(close);
    raw(children[which].call);
    for (;;) raw(leave);
}

long detach(long close, const int64_t call[7]) {
    if (started == CHILDREN) return -EAGAIN;
    int which = started++;
    children[which].close = close;
    for (int i = 0; i < 7; i++) children[which].call[i] = (long)call[i];
    int child = clone(run_child, children[which].stack + STACK_BYTES, CLONE_VM | SIGCHLD, (void *)(intptr_t)which);
    return child < 0 ? -errno : child;
}
