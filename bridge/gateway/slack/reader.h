/* Reads what was written in channels and threads, one call after the other, page by page; what
 * fails in passing is tried again. */
#pragma once

#include "base/json/json.h"

#include <stdbool.h>

struct slack;
struct reader;

struct reader_target {
    const char *channel, *thread; /* thread "" : the channel's own messages */
    const char *oldest;           /* ts; only what is newer */
    bool metadata;                /* with the metadata of messages */
};

struct reader_ops {
    /* The messages of one page, the oldest first. 0, or -errno: the page is read again later. */
    int (*message)(void *data, const struct reader_target *t, const cJSON *message);
    /* All of it was read; `newest` ts that was seen, "" when there was nothing. May be NULL. */
    void (*target_done)(void *data, const struct reader_target *t, const char *newest);
    /* Nothing more to read; `whole`: nothing had to be given up. New targets may be added. */
    void (*done)(void *data, bool whole);
};

/* `ops` must outlive it. */
int reader_new(struct reader **ret, struct slack *s, const struct reader_ops *ops, void *data);
void reader_free(struct reader *r); /* NULL is fine */

/* Strings are copied. 0 or -ENOMEM. */
int reader_add(struct reader *r, const struct reader_target *t);
/* Begins, or goes on at once. */
void reader_start(struct reader *r);
bool reader_active(const struct reader *r);
