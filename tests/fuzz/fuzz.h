/* What the harnesses share. Input is bounded, and whatever a harness holds to be always true is
 * checked with REQUIRE, which ends the program: to libFuzzer that is a crash like any other. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/cleanup.h"

#define FUZZ_INPUT_MAX ((size_t)64 << 10)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(what)                                                                              \
    do {                                                                                           \
        if (!(what)) {                                                                             \
            (void)fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #what);        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* Takes the input apart, first bytes first. When it is used up, all is 0 and "". */
struct fuzz {
    const char *at;
    size_t left;
};

static inline struct fuzz fuzz_of(const uint8_t *data, size_t size)
{
    return (struct fuzz){ .at = (const char *)data, .left = size };
}

static inline unsigned fuzz_byte(struct fuzz *f)
{
    if (!f->left)
        return 0;
    f->left--;
    return (unsigned char)*f->at++;
}

/* Up to the next newline, which goes too; malloc'ed, NUL-terminated. A sanitizer sees each byte
 * that is read behind it. */
static inline char *fuzz_line(struct fuzz *f, size_t *ret_len)
{
    const char *end = f->left ? memchr(f->at, '\n', f->left) : NULL;
    size_t len = end ? (size_t)(end - f->at) : f->left;
    char *line = malloc(len + 1);
    if (!line)
        abort();
    if (len)
        memcpy(line, f->at, len);
    line[len] = '\0';
    f->at += len + (end != NULL);
    f->left -= len + (end != NULL);
    if (ret_len)
        *ret_len = len;
    return line;
}

/* All that is left, in the same way. */
static inline char *fuzz_rest(struct fuzz *f, size_t *ret_len)
{
    size_t len = f->left;
    char *text = malloc(len + 1);
    if (!text)
        abort();
    if (len)
        memcpy(text, f->at, len);
    text[len] = '\0';
    *f = (struct fuzz){ .at = f->at + len };
    if (ret_len)
        *ret_len = len;
    return text;
}
