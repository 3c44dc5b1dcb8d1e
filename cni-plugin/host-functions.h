// The functions that the host gives the program; see host-functions.c.

#ifndef HOST_FUNCTIONS_H
#define HOST_FUNCTIONS_H

#include <stddef.h>

#include "quickjs.h"

// Defines the global `host`. Keeps `argv`. Returns −1 with an exception pending.
int define_host(JSContext *ctx, char **argv);

// Whether it is strict UTF-8 (RFC 3629): no overlong form, no surrogate, nothing above U+10FFFF.
int is_utf8(const char *bytes, size_t length);

#endif
