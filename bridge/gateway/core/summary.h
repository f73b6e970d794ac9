/* One line for people that says what a request is about. */
#pragma once

#include "bridge/gateway/core/core.h"

/* The command, the files, the question: at most 300 bytes, one line. malloc'ed; NULL: no memory.
 * `detail_json` may be anything. */
char *request_summary(enum request_kind kind, const char *permission, const char *detail_json);

/* The most bytes of `s`, at most `max`, that do not split a character. */
size_t text_cut(const char *s, size_t max);
