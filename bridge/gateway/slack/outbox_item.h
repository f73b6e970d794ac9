/* One item of the outbox: how it is kept in the store, and what it becomes when it is sent. Used by
 * outbox.c only. */
#pragma once

#include "bridge/gateway/slack/internal.h"
#include "bridge/gateway/slack/outbox.h"

struct item {
    struct outbox *o;
    struct slack *s;
    int64_t id;
    char *lane, *key;
    enum slack_method method;
    enum outbox_state state; /* as it was in the store when picked */
    int attempts;
    bool update, live;
    cJSON *payload;                          /* as kept */
    struct message_ref place;                /* strings of payload; kind NULL: none */
    cJSON *args;                             /* as sent; after item_resolve() */
    char channel[40], ts[40], thread_ts[40]; /* "" where there is none */
    struct item *next;
};

/* What outbox_put() keeps, malloc'ed; takes m->args. */
char *item_payload(struct outgoing *m, int64_t now_ms);
/* The same item without its blocks; NULL when it has none. */
char *item_payload_plain(const struct item *i);

/* It is only on its way: another update follows. */
bool item_is_live(const struct outbox_item *row);
/* A copy of the row; NULL when out of memory. A row that can't be read has no payload. */
struct item *item_new(struct outbox *o, struct slack *s, const struct outbox_item *row);
void item_free(struct item *i);

enum item_verdict {
    ITEM_READY,
    ITEM_WAIT,   /* the message it changes is not posted yet */
    ITEM_DROP,   /* its request is settled: nothing to show */
    ITEM_BROKEN, /* it can never be sent */
};
/* Fills in channel, thread, message and key. */
enum item_verdict item_resolve(struct item *i);

/* Where to look for a post that may have arrived. */
cJSON *item_look_args(const struct item *i, const char *cursor, enum slack_method *ret);
/* Its ts among these messages, or NULL. */
const char *item_found(const struct item *i, const cJSON *messages);
