/* UTF-8 as RFC 3629 defines it: no overlong forms, no surrogates, at most U+10FFFF. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Length (1 to 4) of the valid sequence that `s` starts with, 0 if there is none. */
size_t utf8_sequence(const char *s, size_t len);

bool utf8_valid(const char *s, size_t len);

/* How many code points `s` holds; each invalid byte counts as one. */
size_t utf8_count(const char *s, size_t len);

/* The most bytes of `s` that hold at most `points` code points; never splits a sequence. */
size_t utf8_prefix(const char *s, size_t len, size_t points);
