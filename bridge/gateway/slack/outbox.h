/* Messages that must arrive, each exactly once and in order within its lane, through the store's
 * outbox: QUEUED → SENDING → DONE. Slack knows no idempotency key, so each post carries a unique
 * one in its metadata; what may have been sent (no answer, a 5xx, a restart in between) is looked
 * for in Slack before it is sent again. chat.update may simply be repeated. */
#pragma once

#include "base/json/json.h"

#include <stdbool.h>
#include <stdint.h>

struct slack;
struct outbox;

int outbox_new(struct outbox **ret, struct slack *s);
void outbox_free(struct outbox *o);

/* A message of ours, by what it shows: kind "session", "card" or "request", pod and id. */
struct message_ref {
    const char *kind, *pod, *id;
};

struct outgoing {
    const char *key;           /* unique: the same key still queued is replaced, newest text wins */
    const char *lane;          /* order is kept within it */
    cJSON *args;               /* of the method; taken. No channel in it: the thread's, else
                                  SLACK_CHANNEL_ID */
    struct message_ref thread; /* post in the thread of this session; kind NULL: none */
    struct message_ref place;  /* what it shows: remembered when posted; what an update changes */
    const char *extra;         /* of the place, JSON; NULL keeps what is there */
    const char *shown;         /* request state to acknowledge to the core when it arrived */
    bool update;               /* chat.update of the place, else chat.postMessage */
    bool again;                /* also when an item of this key was sent before */
    bool live;                 /* another will follow or change it: it waits for the others */
    bool file;                 /* args: "filename", unique, and "content": a file in the thread */
};
/* 0 or -errno; nothing is sent from within. */
int outbox_put(struct outbox *o, struct outgoing *m);

enum outbox_fate { FATE_NONE, FATE_QUEUED, FATE_SENDING, FATE_DONE, FATE_FAILED };
enum outbox_fate outbox_fate(struct outbox *o, const char *key);

/* While it is held nothing is sent. From then on a post whose message is known is there already. */
void outbox_hold(struct outbox *o, bool hold);

/* Looks for work now. */
void outbox_kick(struct outbox *o);

/* Calls `fn` once when nothing more can be sent before `deadline_ms` (monotonic). */
void outbox_flush(struct outbox *o, uint64_t deadline_ms, void (*fn)(void *data), void *data);

/* At start: forgets what was left of the last "the pod stops" notes. */
void outbox_drop(struct outbox *o, const char *key_prefix);
