// What host.c calls in the sanitizer build (host-check.c); nothing in every other build.

#ifndef HOST_CHECK_H
#define HOST_CHECK_H

#include <stddef.h>
#include <stdint.h>

#include "quickjs.h"

#ifdef HOST_CHECK
void check_syscall(const int64_t call[7]);
void check_map(void *memory, size_t length);
void check_memory(const char *what, const void *memory, size_t length);
JSValue check_poison(JSContext *ctx, JSValueConst this, int argc, JSValueConst *argv);
#define CHECK_FUNCTIONS JS_CFUNC_DEF("poison", 3, check_poison),
#else
#define check_syscall(call) ((void)0)
#define check_map(memory, length) ((void)0)
#define check_memory(what, memory, length) ((void)0)
#define CHECK_FUNCTIONS
#endif

#endif
