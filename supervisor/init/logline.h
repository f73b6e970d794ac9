/* One line of log: what a child wrote, judged and written anew. Pure: no descriptors here. */
#pragma once

#include "base/core/buf.h"
#include "base/core/log.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of one line, as it comes and as it is written: longer ones are split, here rather than by
 * the container runtime, which cuts what it stores at the same length. */
#define LOGLINE_MAX      ((size_t)16 << 10)
#define LOGLINE_ENVELOPE ((size_t)384) /* of which what stands around a message takes at most */

/* Where something lies in a text. */
struct span {
    const char *at; /* NULL: not there */
    size_t len;
};

/* A complete JSON object (RFC 8259, valid UTF-8, at most 32 levels) and nothing else? Of its top
 * level it notes: the raw string tokens, quotes included, of "level", "msg" and the ids of
 * base/core/log.h, and how many keys there are. */
struct logline_json {
    struct span level, msg, ids[LOG_FIELD_MAX];
    size_t keys;
};
bool logline_json_object(const char *text, size_t len, struct logline_json *ret);

/* Takes out what only a terminal understands: escape sequences, complete or not. In place; returns
 * the new length. */
size_t logline_strip(char *text, size_t len);

/* Secrets to be masked. */
struct mask {
    char **values; /* owned, wiped at release */
    size_t count;
};
#define MASK_MIN 6 /* shorter ones would mask half of every line */
/* Also its form inside a JSON string, when that differs. 0 or -ENOMEM. */
int mask_add(struct mask *m, const char *value);
void mask_release(struct mask *m);
/* Puts *** for each secret, in place; returns the new length. */
size_t mask_apply(const struct mask *m, char *text, size_t len);
/* Where a text may be cut so that no secret, begun before the end, is torn in two; at least 1. */
size_t mask_safe_cut(const struct mask *m, const char *text, size_t len);

/* How much of a message one line can hold: all of it (`len`), or up to where it may be cut. */
size_t logline_fits(const char *text, size_t len);

struct log_record {
    int64_t wall_us;
    enum log_level level;
    const char *service;
    const char *stream; /* "stdout", "stderr"; NULL: PID 1's own */
    int pid;
    const char *msg; /* masked, without newline */
    size_t len;
    bool partial; /* the rest follows in the next record */
    const char *boot_id;
    uint64_t seq;
};

/* Appends the line with its newline. `ret_level` (may be NULL) is the level that it got. */
void logline_json(struct buf *out, const struct log_record *r);
void logline_text(struct buf *out, const struct log_record *r);
const char *logline_level_name(enum log_level level);
