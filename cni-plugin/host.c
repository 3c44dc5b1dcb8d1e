// The host of the CNI executable: links QuickJS-ng with one bytecode program, calls its main() once and
// writes what that returned. Exit status 0 means main() returned it and every byte was written; after
// anything else stdout carries a constant CNI error object and the status is 1.
// lib/sys/host.ts is the program's view of this file.

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host-check.h"
#include "host-heap.h"

// From `qjsc -C -s -s -N program`.
extern const uint32_t program_size;
extern const uint8_t program[];

#define JS_FUNCTION(name) static JSValue name(JSContext *ctx, JSValueConst this, int argc, JSValueConst *argv)
#define ERROR_START "{\n    \"code\": 999,\n    \"msg\": \"internal error\",\n    \"details\": \""

static pid_t host_pid;
static char **host_argv;

// Writes all of it: short writes are continued, a full non-blocking pipe is waited for.
static int write_whole(int fd, const char *bytes, size_t length) {
    while (length > 0) {
        ssize_t done = write(fd, bytes, length);
        if (done < 0 && errno == EAGAIN) poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, -1);
        if (done < 0 && errno != EAGAIN && errno != EINTR) return -1;
        if (done > 0) bytes += done, length -= (size_t)done;
    }
    return 0;
}

static void write_text(int fd, const char *text) { (void)write_whole(fd, text, strlen(text)); }

// Ends the process as failed, allocating nothing. A child the program made never writes on our stdout.
static _Noreturn void fail(const char *details) {
    if (getpid() != host_pid) _exit(1);
    write_text(1, ERROR_START);
    write_text(1, details);
    write_text(1, "\"\n}\n");
    _exit(1);
}

// Ends the process as failed because of the pending exception; its text, if it has one, goes to stderr.
static _Noreturn void fail_thrown(JSContext *ctx) {
    const char *text = JS_ToCString(ctx, JS_GetException(ctx));
    write_text(2, "internal error: ");
    write_text(2, text == NULL ? "no text" : text);
    write_text(2, "\n");
    fail("an exception reached the host, see stderr");
}

// Strict UTF-8 (RFC 3629): no overlong form, no surrogate, nothing above U+10FFFF.
static int is_utf8(const char *bytes, size_t length) {
    const uint8_t *p = (const uint8_t *)bytes, *end = p + length;
    while (p < end) {
        uint8_t lead = *p++;
        if (lead < 0x80) continue;
        int more = lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
        if (lead < 0xc2 || lead > 0xf4 || end - p < more) return 0;
        if (*p < (lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80)) return 0;
        if (*p > (lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf)) return 0;
        for (p++; --more > 0; p++)
            if ((*p & 0xc0) != 0x80) return 0;
    }
    return 1;
}

static JSValue new_string(JSContext *ctx, const char *bytes, size_t length) {
    return is_utf8(bytes, length) ? JS_NewStringLen(ctx, bytes, length)
                                  : JS_ThrowTypeError(ctx, "bytes are not UTF-8");
}

// syscall(number, a … f): the value, or −errno.
JS_FUNCTION(host_syscall) {
    int64_t n[7] = {0};
    for (int i = 0; i < argc && i < 7; i++)
        if (JS_ToInt64(ctx, &n[i], argv[i]) != 0) return JS_EXCEPTION;
    check_syscall(n);
    long value = syscall(n[0], n[1], n[2], n[3], n[4], n[5], n[6]);
    return JS_NewInt64(ctx, value == -1 ? -errno : value);
}

// map(length): [ArrayBuffer, address] of memory that stays where it is; pages cost nothing until touched.
JS_FUNCTION(host_map) {
    int64_t length;
    if (JS_ToInt64(ctx, &length, argv[0]) != 0) return JS_EXCEPTION;
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void *memory = mmap(NULL, (size_t)length, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (memory == MAP_FAILED) return JS_ThrowOutOfMemory(ctx);
    check_map(memory, (size_t)length);
    JSValue pair[2] = {JS_NewArrayBuffer(ctx, memory, (size_t)length, 0, NULL, NULL, false),
                       JS_NewInt64(ctx, (int64_t)(intptr_t)memory)};
    return JS_NewArrayFrom(ctx, 2, pair);
}

// encode(text): its UTF-8 bytes; throws on a lone surrogate.
JS_FUNCTION(host_encode) {
    size_t length;
    const char *text = JS_ToCStringLen(ctx, &length, argv[0]);
    if (text == NULL) return JS_EXCEPTION;
    JSValue bytes = is_utf8(text, length) ? JS_NewUint8ArrayCopy(ctx, (const uint8_t *)text, length)
                                          : JS_ThrowRangeError(ctx, "text has a lone surrogate");
    JS_FreeCString(ctx, text);
    return bytes;
}

// decode(bytes): the text of a Uint8Array; throws on what is not UTF-8.
JS_FUNCTION(host_decode) {
    size_t length;
    const uint8_t *bytes = JS_GetUint8Array(ctx, &length, argv[0]);
    if (bytes == NULL) return JS_EXCEPTION;
    check_memory("decode", bytes, length);
    return new_string(ctx, (const char *)bytes, length);
}

// env(name): the variable's value, or undefined; throws on what is not UTF-8.
JS_FUNCTION(host_env) {
    const char *name = JS_ToCString(ctx, argv[0]);
    if (name == NULL) return JS_EXCEPTION;
    const char *value = getenv(name);
    JS_FreeCString(ctx, name);
    return value == NULL ? JS_UNDEFINED : new_string(ctx, value, strlen(value));
}

// args() and environment(): all of argv or environ; throw on what is not UTF-8.
static JSValue host_strings(JSContext *ctx, JSValueConst this, int argc, JSValueConst *argv, int magic) {
    JSValue list = JS_NewArray(ctx);
    char **strings = magic == 0 ? host_argv : environ;
    for (uint32_t i = 0; strings[i] != NULL; i++) {
        JSValue text = new_string(ctx, strings[i], strlen(strings[i]));
        if (JS_IsException(text) || JS_SetPropertyUint32(ctx, list, i, text) < 0) return JS_EXCEPTION;
    }
    return list;
}

static const JSCFunctionListEntry host_functions[] = {
    JS_CFUNC_DEF("syscall", 7, host_syscall), JS_CFUNC_DEF("map", 1, host_map),
    JS_CFUNC_DEF("encode", 1, host_encode), JS_CFUNC_DEF("decode", 1, host_decode),
    JS_CFUNC_DEF("env", 1, host_env), JS_PROP_STRING_DEF("arch", HOST_ARCH, JS_PROP_ENUMERABLE),
    JS_CFUNC_MAGIC_DEF("args", 0, host_strings, 0), JS_CFUNC_MAGIC_DEF("environment", 0, host_strings, 1),
    CHECK_FUNCTIONS
};

// A context without Promise, eval and Proxy: the program is synchronous to its last line.
static JSContext *new_context(void) {
    JSRuntime *rt = heap_runtime();
    JSContext *ctx = rt == NULL ? NULL : JS_NewContextRaw(rt);
    if (ctx == NULL || JS_AddIntrinsicBaseObjects(ctx) || JS_AddIntrinsicJSON(ctx) ||
        JS_AddIntrinsicTypedArrays(ctx) || JS_AddIntrinsicRegExp(ctx) || JS_AddIntrinsicDate(ctx) ||
        JS_AddIntrinsicMapSet(ctx) || JS_AddIntrinsicBigInt(ctx))
        fail("the engine could not start");
    return ctx;
}

// The program, its main() defined and nothing called yet. It has no `host` so far: what it would find out
// while loading would be that of the machine that built it.
static JSContext *load_program(void) {
    JSContext *ctx = new_context();
    JSValue script = JS_ReadObject(ctx, program, program_size, JS_READ_OBJ_BYTECODE);
    if (JS_IsException(script) || JS_IsException(JS_EvalFunction(ctx, script))) fail_thrown(ctx);
    return ctx;
}

// Writes what main() returned, { code, stdout, stderr? }, and ends the process with that code.
static _Noreturn void finish(JSContext *ctx, JSValueConst result) {
    size_t length;
    int32_t code;
    JSValue out = JS_GetPropertyStr(ctx, result, "stdout"), err = JS_GetPropertyStr(ctx, result, "stderr");
    JSValue status = JS_GetPropertyStr(ctx, result, "code");
    if (!JS_IsString(out) || !JS_IsNumber(status)) fail("main() returned no output");
    const char *text = JS_ToCStringLen(ctx, &length, out), *notes = JS_ToCString(ctx, err);
    if (JS_ToInt32(ctx, &code, status) != 0 || text == NULL || notes == NULL) fail_thrown(ctx);
    if (code < 0 || code > 255 || !is_utf8(text, length)) fail("main() returned no output");
    if (getpid() != host_pid) _exit(1);
    if (JS_IsString(err)) write_text(2, notes);
    _exit(write_whole(1, text, length) == 0 ? code : 1);
}

int main(int argc, char **argv) {
    host_pid = getpid();
    host_argv = argv;
    signal(SIGPIPE, SIG_IGN);
    // 0 to 2 must be taken before the program opens a file, or its output would land in that file.
    if (fcntl(1, F_GETFD) < 0) _exit(1);
    for (int fd = 0; fd <= 2; fd += 2)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd) fail("/dev/null cannot be opened");
    JSContext *ctx = heap_restore();
    if (ctx == NULL) {
        ctx = load_program();
        size_t length = 0;
        if (argc == 2 && strcmp(argv[1], "--save-heap") == 0) { // by the build; no runtime passes arguments
            const void *image = heap_image(ctx, &length);
            _exit(write_whole(1, image, length) == 0 ? 0 : 1);
        }
    }
    JSValue global = JS_GetGlobalObject(ctx), host = JS_NewObject(ctx);
    int count = (int)(sizeof host_functions / sizeof host_functions[0]);
    if (JS_SetPropertyFunctionList(ctx, host, host_functions, count) < 0 ||
        JS_SetPropertyStr(ctx, global, "host", host) < 0)
        fail_thrown(ctx);
    JSValue result = JS_Call(ctx, JS_GetPropertyStr(ctx, global, "main"), JS_UNDEFINED, 0, NULL);
    if (JS_IsException(result)) fail_thrown(ctx);
    finish(ctx, result);
}
