/* Writes JSON into a buf. For PID 1, which must not carry a JSON library and never reads JSON.
 * The caller keeps the structure right; commas are put by the writer. */
#pragma once

#include "base/core/buf.h"

#include <stdint.h>

struct jsonw {
    struct buf *out;
    bool comma; /* the next value needs one before it */
};

#define JSONW_INIT(b) ((struct jsonw){ .out = (b) })

/* `key` is NULL inside arrays and at the top. */
void jsonw_object(struct jsonw *w, const char *key);
void jsonw_object_end(struct jsonw *w);
void jsonw_array(struct jsonw *w, const char *key);
void jsonw_array_end(struct jsonw *w);
void jsonw_str(struct jsonw *w, const char *key, const char *value); /* NULL value: null */
void jsonw_strn(struct jsonw *w, const char *key, const char *value, size_t len);
void jsonw_int(struct jsonw *w, const char *key, int64_t value);
void jsonw_uint(struct jsonw *w, const char *key, uint64_t value);
void jsonw_bool(struct jsonw *w, const char *key, bool value);
void jsonw_null(struct jsonw *w, const char *key);
/* `json` is already JSON and is put as it is. */
void jsonw_raw(struct jsonw *w, const char *key, const char *json, size_t len);

/* Appends `s` as a quoted JSON string. Control characters are escaped; bytes that are not UTF-8
 * (RFC 3629) become U+FFFD, so the result is always valid. */
void jsonw_quote(struct buf *out, const char *s, size_t len);
