/* JSON with comments and trailing commas, as OpenCode's config files are written. */
#pragma once

#include "base/core/error.h"

#include <stddef.h>

/* Overwrites comments and trailing commas with spaces, in place; newlines stay, so that places in
 * messages stay right. -EBADMSG for a comment without an end. */
int jsonc_strip(char *text, size_t len, struct error *e);

/* "line L, column C" of byte `at`, counted from 1. */
void jsonc_place(const char *text, size_t at, char *out, size_t size);
