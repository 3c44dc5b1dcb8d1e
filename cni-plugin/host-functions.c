// The functions that the program has in addition to the language: system calls, memory that stays where it is, strict UTF-8, its arguments
// and environment. lib/sys/host.ts describes them for the program.

#include "host-functions.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host-check.h"
#include "host-detach.h"

#define JS_FUNCTION(name) static JSValue name(JSContext *ctx, JSValueConst this, int argc, JSValueConst *argv)

static char **host_argv;

int is_utf8(const char *bytes, size_t length) {
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

// detach(close, number, a … f): the id of a child that makes the call, or −errno; see host-detach.h.
JS_FUNCTION(host_detach) {
    int64_t close, n[7] = {0};
    if (JS_ToInt64(ctx, &close, argv[0]) != 0) return JS_EXCEPTION;
    for (int i = 1; i < argc && i < 8; i++)
        if (JS_ToInt64(ctx, &n[i - 1], argv[i]) != 0) return JS_EXCEPTION;
    check_syscall(n);
    return JS_NewInt64(ctx, detach((long)close, n));
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

// encodeInto(text, bytes, at): as encode, into a Uint8Array from `at`; returns how many bytes that took.
JS_FUNCTION(host_encode_into) {
    size_t length, room;
    int64_t at;
    uint8_t *bytes = JS_GetUint8Array(ctx, &room, argv[1]);
    if (bytes == NULL || JS_ToInt64(ctx, &at, argv[2]) != 0) return JS_EXCEPTION;
    const char *text = JS_ToCStringLen(ctx, &length, argv[0]);
    if (text == NULL) return JS_EXCEPTION;
    JSValue result = JS_NewInt64(ctx, (int64_t)length);
    if (!is_utf8(text, length)) result = JS_ThrowRangeError(ctx, "text has a lone surrogate");
    else if (at < 0 || (size_t)at > room || length > room - (size_t)at) result = JS_ThrowRangeError(ctx, "text does not fit");
    else memcpy(bytes + at, text, length);
    JS_FreeCString(ctx, text);
    return result;
}

// decode(bytes): the text of a Uint8Array; throws on what is not UTF-8.
JS_FUNCTION(host_decode) {
    size_t length;
    const uint8_t *bytes = JS_GetUint8Array(ctx, &length, argv[0]);
    if (bytes == NULL) return JS_EXCEPTION;
    check_memory("decode", bytes, length);
    return new_string(ctx, (const char *)bytes, length);
}

// nextAttribute(bytes, start, end, wanted, high): where between start and end the first netlink attribute begins whose type is a bit of
// `wanted` or, for types from 32 on, of `high`, or whose length is impossible; −1 when there is none.
JS_FUNCTION(host_next_attribute) {
    size_t room;
    int64_t start, end;
    uint32_t wanted, high;
    const uint8_t *bytes = JS_GetUint8Array(ctx, &room, argv[0]);
    if (bytes == NULL || JS_ToInt64(ctx, &start, argv[1]) != 0 || JS_ToInt64(ctx, &end, argv[2]) != 0 ||
        JS_ToUint32(ctx, &wanted, argv[3]) != 0 || JS_ToUint32(ctx, &high, argv[4]) != 0)
        return JS_EXCEPTION;
    if (start < 0 || end > (int64_t)room) return JS_ThrowRangeError(ctx, "attributes outside their bytes");
    while (end - start >= 4) {
        uint16_t header[2]; // length and type
        check_memory("nextAttribute", bytes + start, sizeof header);
        memcpy(header, bytes + start, sizeof header);
        unsigned type = header[1] & 0x3fff;
        if (header[0] < 4 || header[0] > end - start || ((type < 32 ? wanted : high) >> (type & 31) & 1))
            return JS_NewInt64(ctx, start);
        start += (header[0] + 3) & ~3;
    }
    return JS_NewInt32(ctx, -1);
}

// asciiText(bytes, start, end): the text there up to a NUL; undefined when a byte of it is not ASCII.
JS_FUNCTION(host_ascii_text) {
    size_t room;
    int64_t start, end;
    const uint8_t *bytes = JS_GetUint8Array(ctx, &room, argv[0]);
    if (bytes == NULL || JS_ToInt64(ctx, &start, argv[1]) != 0 || JS_ToInt64(ctx, &end, argv[2]) != 0)
        return JS_EXCEPTION;
    if (start < 0 || end < start || end > (int64_t)room) return JS_ThrowRangeError(ctx, "text outside its bytes");
    check_memory("asciiText", bytes + start, (size_t)(end - start));
    int64_t at = start;
    while (at < end && bytes[at] != 0)
        if (bytes[at++] >= 0x80) return JS_UNDEFINED;
    return JS_NewStringLen(ctx, (const char *)bytes + start, (size_t)(at - start));
}

// isPlain(text, except): whether all of it is ASCII, and no character of it is one of `except`.
JS_FUNCTION(host_is_plain) {
    size_t length;
    const char *text = JS_ToCStringLen(ctx, &length, argv[0]), *except = JS_ToCString(ctx, argv[1]);
    if (text == NULL || except == NULL) return JS_EXCEPTION;
    int plain = strcspn(text, except) == length;
    for (size_t i = 0; plain && i < length; i++) plain = (uint8_t)text[i] < 0x80;
    JS_FreeCString(ctx, text);
    JS_FreeCString(ctx, except);
    return JS_NewBool(ctx, plain);
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
    JS_CFUNC_DEF("detach", 8, host_detach),
    JS_CFUNC_DEF("encode", 1, host_encode), JS_CFUNC_DEF("decode", 1, host_decode),
    JS_CFUNC_DEF("encodeInto", 3, host_encode_into), JS_CFUNC_DEF("nextAttribute", 5, host_next_attribute),
    JS_CFUNC_DEF("asciiText", 3, host_ascii_text), JS_CFUNC_DEF("isPlain", 2, host_is_plain),
    JS_CFUNC_DEF("env", 1, host_env), JS_PROP_STRING_DEF("arch", HOST_ARCH, JS_PROP_ENUMERABLE),
    JS_CFUNC_MAGIC_DEF("args", 0, host_strings, 0), JS_CFUNC_MAGIC_DEF("environment", 0, host_strings, 1),
    CHECK_FUNCTIONS
};

int define_host(JSContext *ctx, char **argv) {
    host_argv = argv;
    JSValue global = JS_GetGlobalObject(ctx), host = JS_NewObject(ctx);
    int count = (int)(sizeof host_functions / sizeof host_functions[0]);
    if (JS_SetPropertyFunctionList(ctx, host, host_functions, count) < 0) return -1;
    return JS_SetPropertyStr(ctx, global, "host", host);
}
