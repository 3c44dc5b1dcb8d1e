// The host of the CNI executable: runs one TypeScript program, compiled to QuickJS-ng bytecode, calls its main() once and writes what
// main() returned. Exit status 0 means that main() returned it and every byte was written. In any other case stdout has a constant CNI
// error object and the status is 1.

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "host-functions.h"
#include "host-heap.h"

// From `qjsc -C -s -s -N program`.
extern const uint32_t program_size;
extern const uint8_t program[];

#define ERROR_START "{\n    \"code\": 999,\n    \"msg\": \"internal error\",\n    \"details\": \""

static pid_t host_pid;

// Writes all bytes: continues after short writes, and waits for a full non-blocking pipe.
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

// Ends the process as failed, without allocating anything. A child that the program made never writes on our stdout.
static _Noreturn void fail(const char *details) {
    if (getpid() != host_pid) _exit(1);
    write_text(1, ERROR_START);
    write_text(1, details);
    write_text(1, "; weft " WEFT_VERSION "\"\n}\n");
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

// A context without Promise, eval and Proxy: the program is synchronous to its last line.
static JSContext *new_context(void) {
    JSRuntime *rt = heap_runtime();
    JSContext *ctx = rt == NULL ? NULL : JS_NewContextRaw(rt);
    if (ctx == NULL || JS_AddIntrinsicBaseObjects(ctx) || JS_AddIntrinsicJSON(ctx) ||
        JS_AddIntrinsicTypedArrays(ctx) || JS_AddIntrinsicRegExp(ctx) || JS_AddIntrinsicDate(ctx) ||
        JS_AddIntrinsicMapSet(ctx) || JS_AddIntrinsicBigInt(ctx))
        fail("the engine could not start");
    // Its state would be saved with the heap, and every process would have the same random numbers.
    JSValue math = JS_GetPropertyStr(ctx, JS_GetGlobalObject(ctx), "Math");
    JS_DeleteProperty(ctx, math, JS_NewAtom(ctx, "random"), 0);
    return ctx;
}

// The engine makes a built-in function when it is first used. Touched here, it is saved with the heap. Reading an accessor may throw; the
// exception is ignored.
static void touch_properties(JSContext *ctx, JSValueConst object, int depth) {
    JSPropertyEnum *names;
    uint32_t count;
    if (JS_GetOwnPropertyNames(ctx, &names, &count, object, JS_GPN_STRING_MASK | JS_GPN_SYMBOL_MASK) < 0) return;
    for (uint32_t i = 0; i < count; i++) {
        JSValue value = JS_GetProperty(ctx, object, names[i].atom);
        if (JS_IsException(value)) JS_FreeValue(ctx, JS_GetException(ctx));
        else if (depth > 0 && JS_IsObject(value)) touch_properties(ctx, value, depth - 1);
        JS_FreeValue(ctx, value);
    }
    JS_FreePropertyEnum(ctx, names, count);
}

// Loads the program: its main() is defined and nothing is called yet. It has no `host` so far, because whatever it read while loading would
// come from the machine that built it.
static JSContext *load_program(void) {
    JSContext *ctx = new_context();
    // The properties of the global object, of constructors, and of their prototypes.
    touch_properties(ctx, JS_GetGlobalObject(ctx), 2);
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

// Runs the program on a new heap. Only the build passes arguments: they make it save the heap, arranged by a profile if there is one, or
// watch it.
static JSContext *prepare(int argc, char **argv) {
    int is_saving = argc > 1 && strcmp(argv[1], "--save-heap") == 0;
    if (is_saving && argc > 2 && heap_read_profile(argv[2]) < 0) fail("the profile cannot be read");
    if (argc > 2 && strcmp(argv[1], "--watch-heap") == 0 && heap_watch(argv[2]) < 0) fail("the heap cannot be watched");
    JSContext *ctx = load_program();
    if (is_saving) {
        size_t length = 0;
        const void *image = heap_image(ctx, &length);
        _exit(write_whole(1, image, length) == 0 ? 0 : 1);
    }
    if (heap_start_watching() < 0) fail("the heap cannot be watched");
    return ctx;
}

int main(int argc, char **argv) {
    host_pid = getpid();
    signal(SIGPIPE, SIG_IGN);
    // Descriptors 0 to 2 must be in use before the program opens a file, or its output would go into that file.
    if (fcntl(1, F_GETFD) < 0) _exit(1);
    for (int fd = 0; fd <= 2; fd += 2)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd) fail("/dev/null cannot be opened");
    JSContext *ctx = heap_restore();
    if (ctx == NULL) ctx = prepare(argc, argv);
    if (define_host(ctx, argv) < 0) fail_thrown(ctx);
    JSValue entry = JS_GetPropertyStr(ctx, JS_GetGlobalObject(ctx), "main");
    JSValue result = JS_Call(ctx, entry, JS_UNDEFINED, 0, NULL);
    if (JS_IsException(result)) fail_thrown(ctx);
    finish(ctx, result);
}
