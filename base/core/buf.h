/* A growable byte buffer with a cap, always NUL-terminated after its contents. */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

struct buf {
    char *data; /* NULL while empty and never grown; owned */
    size_t len; /* bytes in use, without the NUL */
    size_t cap; /* bytes allocated */
    size_t max; /* most bytes it may hold; 0 means BUF_MAX_DEFAULT */
    bool
        failed; /* an append failed (memory or cap); sticky, so callers may check once at the end */
};

#define BUF_MAX_DEFAULT ((size_t)64 << 20)
#define BUF_INIT        ((struct buf){ 0 })
#define BUF_INIT_MAX(m) ((struct buf){ .max = (m) })

/* Each append returns 0, -ENOMEM or -EFBIG (over max); on failure the contents stay unchanged and
 * `failed` is set. */
int buf_append(struct buf *b, const void *data, size_t len);
int buf_puts(struct buf *b, const char *s);
int buf_putc(struct buf *b, char c);
int buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int buf_vprintf(struct buf *b, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));

/* Makes room for `len` more bytes (and the NUL). */
int buf_reserve(struct buf *b, size_t len);

/* Drops the first `len` bytes (all, if there are fewer). */
void buf_consume(struct buf *b, size_t len);

/* Empties without giving memory back; clears `failed`. */
void buf_reset(struct buf *b);

/* Frees the memory; `b` can be used again. */
void buf_release(struct buf *b);

/* The contents as a C string; "" when empty. Valid until the next change. */
const char *buf_str(const struct buf *b);

/* Hands the contents over (malloc'ed, NUL-terminated; NULL when `failed` or out of memory). The
 * buffer is empty after. */
char *buf_take(struct buf *b);

#define _cleanup_buf_ _cleanup_(buf_release)
