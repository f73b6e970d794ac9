/* Text of others, made safe for a terminal and for people's eyes: what would move the cursor, hide
 * or reorder what is seen stands there as \xNN or \u{NNNN}. */
#pragma once

#include "base/core/buf.h"

enum visible_flags {
    VISIBLE_LINES = 1 << 0, /* line ends and tabs stay */
};

/* Appends it. Trouble: buf's `failed`. */
void visible_put(struct buf *out, const char *text, size_t len, unsigned flags);
